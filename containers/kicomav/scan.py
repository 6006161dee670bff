"""KicomAV over a list of files, archives included.

KicomAV counts and logs what went wrong and then calls the file clean, and its
exit code is always 0; here whatever it counted or logged is a failure.
"""

import logging
import os

import acquit_driver
from acquit_driver import failure, malicious, suspicious, undetected, unsupported

# Its warnings about a missing .env file would come while it is imported.
os.environ["KICOMAV_SUPPRESS_WARNINGS"] = "1"

import kicomav  # noqa: E402
from kicomav.kavcore import k2security  # noqa: E402
from kicomav.plugins import kernel  # noqa: E402

SECONDS = 55


class Complaints(logging.Handler):
    """What KicomAV would only have logged."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        error = record.exc_info[1] if record.exc_info else None
        self.texts.append(f"{record.getMessage()} {error or ''}".strip())


def load():
    engine = kicomav.Engine()
    plugins = os.path.join(os.path.dirname(kicomav.__file__), "plugins")
    if not engine.set_plugins(plugins):
        raise SystemExit("KicomAV loads no plugins")
    return engine


def start():
    """Makes this process's own instance: it unpacks below the temporary directory there is."""
    global instance
    instance = engine.create_instance()
    if instance is None or not instance.init():
        raise SystemExit("KicomAV does not start")
    if not instance.listvirus():
        raise SystemExit("KicomAV has no signatures")
    instance.set_options(None)
    instance.set_options({"opt_arc": True, "opt_list": True})
    watch(instance)


def watch(instance):
    """Notes members that KicomAV could not unpack and would pass over."""
    unarc, give_up = instance.unarc, instance.handle_unsupported_archive

    def watched(member):
        done, result = unarc(member)
        if not done and result is None and member.is_archive():
            unread.append(member.get_additional_filename())
        return done, result

    def gave_up(member, kernel_module):
        unread.append(member.get_additional_filename())
        return give_up(member, kernel_module)

    instance.unarc, instance.handle_unsupported_archive = watched, gave_up


def watch_names():
    """Notes members that KicomAV leaves out for their names, without a word."""
    is_safe = k2security.is_safe_archive_member

    def watched(name):
        safe = is_safe(name)
        if not safe:
            unread.append(str(name))
        return safe

    k2security.is_safe_archive_member = watched


def weigh(found, errors, looked_at):
    infected = [name for state, name in found if state == kernel.INFECTED]
    if infected:
        return malicious(infected[0])
    if found:
        return suspicious(found[0][1])
    if complaints.texts:
        return failure(complaints.texts[0])
    if instance.result["IO_errors"] != errors:
        return failure("KicomAV counts an error")
    if not looked_at:
        return failure("KicomAV does not say that it looked at the file")
    return undetected()


def examine(path):
    with open(path, "rb"):
        pass
    found, looked_at = [], []

    def said(value):
        if value["result"]:
            found.append((value["scan_state"], value["virus_name"]))
        elif value["scan_state"] == kernel.ERROR:
            unread.append(value["virus_name"])
        elif value["file_struct"].get_additional_filename() == "":
            looked_at.append(path)

    del complaints.texts[:], unread[:]
    errors = instance.result["IO_errors"]
    if instance.scan(path, said) != 0:
        return failure("KicomAV did not come to its end")
    verdict = weigh(found, errors, looked_at)
    if unread and verdict["verdict"] == "undetected":
        return unsupported(f"a member cannot be read: {unread[0]}")
    return verdict


unread = []
complaints = Complaints()
logging.getLogger().handlers = [complaints]
logging.getLogger("kicomav").propagate = True
watch_names()
# An engine that is forgotten removes the directory its instance unpacks to.
engine, instance = load(), None
acquit_driver.run(examine, SECONDS, prepare=start)
