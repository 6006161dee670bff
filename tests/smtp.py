"""A mail server that says on standard output, a JSON object a line, what came.

    smtp.py none|tls|starttls [certificate key user password]

A recipient called temporary@ or permanent@ is refused so; slow@ waits.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult


class Post:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("temporary@"):
            return "451 come back later"
        if address.startswith("permanent@"):
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("slow@"):
            await asyncio.sleep(30)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part for part in message.walk()}
        text = parts.get("text/plain")
        html = parts.get("text/html")
        line = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "size": len(envelope.content),
            "at": time.time(),
            # Where the connection begins with TLS the session knows nothing of it.
            "tls": session.ssl is not None or sys.argv[1] == "tls",
            "login": session.authenticated,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "text": text and text.get_content(),
            "html": html and html.get_content(),
            "files": [
                [part.get_filename(), len(part.get_content())]
                for part in message.iter_attachments()
                if part.get_filename()
            ],
        }
        print(json.dumps(line), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login.decode() == sys.argv[4] and data.password.decode() == sys.argv[5]
    return AuthResult(success=good, handled=good)


async def main():
    mode = sys.argv[1]
    context, options = None, {}
    if mode != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        options = {"authenticator": authenticate, "auth_required": True}
    if mode == "tls":
        options["auth_require_tls"] = False
    if mode == "starttls":
        options |= {"tls_context": context, "require_starttls": True}

    def session():
        return SMTP(Post(), hostname="post.test", enable_SMTPUTF8=True, **options)

    outer = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=outer)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
