//! The sockets: accepted up to a cap, timed, drained at the end.
//!
//! hyper's HTTP/1 server directly, since its header timeout also ends a
//! connection on which nothing ever comes. A connection is closed by us only
//! after its other end has seen the answer: a client in the middle of an upload
//! that was refused would else see a reset in place of the reason.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::config::Http;
use crate::metrics::Metrics;

/// How long requests under way may take to end when the daemon does.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client may go on sending what nobody reads, before it is cut off.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(2);
/// How long to wait when there are no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(200);
const MAX_HEADERS: usize = 100;

/// What every connection needs.
#[derive(Clone, Debug)]
pub struct Server {
    /// Answers requests.
    pub router: Router,
    /// Timeouts and caps.
    pub http: Http,
    /// Counts connections.
    pub metrics: Metrics,
    /// Ends the server.
    pub shutdown: CancellationToken,
}

impl Server {
    /// Serves until told to end, then lets requests under way end too.
    pub async fn run(self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(self.http.connections as usize));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = accept(&listener, &permits) => match accepted {
                    Ok((stream, permit)) => {
                        connections.spawn(self.clone().serve(stream, permit));
                    }
                    Err(error) => {
                        warn!(%error, "Cannot accept a connection");
                        sleep(EXHAUSTED).await;
                    }
                }
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, drained).await.is_err() {
            warn!("Grace period over, closing the remaining connections");
        }
    }

    async fn serve(self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        self.metrics.connections.inc();
        self.exchange(stream).await;
        self.metrics.connections.dec();
        drop(permit);
    }

    async fn exchange(&self, stream: TcpStream) {
        if let Err(error) = prepare(&stream, &self.http) {
            debug!(%error, "A connection ended at once");
            return;
        }
        let router = self.router.clone();
        let trusted = self.http.trusted_proxies.as_slice();
        let peer = stream.peer_addr().ok().map(|peer| peer.ip());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            if let Some(peer) = peer {
                let client = client((trusted, peer), request.headers());
                request.extensions_mut().insert(Peer(client));
            }
            Box::pin(router.clone().oneshot(request.map(Body::new)))
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(self.http.header_timeout_seconds))
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let ended = tokio::select! {
            ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
            () = self.shutdown.cancelled() => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await
            }
        };
        if let Err(error) = &ended {
            debug!(%error, "A connection ended early");
        }
        let lingering = linger(connection.into_parts().io.into_inner());
        tokio::select! {
            _ = timeout(LINGER, lingering) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

/// Who is at the other end, or behind the proxy that is.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Returns who asks: the other end, or whom a proxy of ours says that it asks for.
///
/// Each proxy adds whom it sees at the end of the list: of what stands there only the part that
/// proxies of ours wrote is true.
fn client((trusted, peer): (&[IpAddr], IpAddr), headers: &HeaderMap) -> IpAddr {
    let is_ours = |ip: &IpAddr| trusted.iter().any(|it| it.to_canonical() == *ip);
    let mut client = peer.to_canonical();
    let values = headers.get_all("x-forwarded-for").into_iter();
    let values: Vec<_> = values.map(|value| value.to_str().unwrap_or("")).collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(','));
    for hop in hops {
        match hop.trim().parse::<IpAddr>() {
            Ok(ip) if is_ours(&client) => client = ip.to_canonical(),
            Ok(_) | Err(_) => break,
        }
    }
    client
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let permit = permit.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

fn prepare(stream: &TcpStream, http: &Http) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // A client that takes nothing of an answer is cut off by the kernel.
    let millis = http.body_timeout_seconds.saturating_mul(1000);
    let millis = u32::try_from(millis).unwrap_or(u32::MAX);
    setsockopt(stream, sockopt::TcpUserTimeout, &millis)?;
    Ok(())
}

/// Sends the end, then reads until the other end has seen it.
async fn linger(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut scrap = vec![0; 16 << 10];
    while let Ok(read) = timeout(LINGER_SILENCE, stream.read(&mut scrap)).await {
        if read? == 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = [ip("127.0.0.1"), ip("10.0.0.2")];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let seen = client((&trusted, ip(peer)), &headers);
        assert_eq!(seen, ip(expected), "{peer} {forwarded:?}");
    }

    #[test]
    fn only_what_a_proxy_of_ours_wrote_is_believed() {
        check("192.0.2.1", &["192.0.2.9"], "192.0.2.1");
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["192.0.2.9"], "192.0.2.9");
        check("::ffff:127.0.0.1", &["192.0.2.9"], "192.0.2.9");
        check("127.0.0.1", &["203.0.113.5, 192.0.2.9"], "192.0.2.9");
        check("127.0.0.1", &["203.0.113.5", "192.0.2.9"], "192.0.2.9");
        check("127.0.0.1", &["192.0.2.9, 10.0.0.2"], "192.0.2.9");
        check("127.0.0.1", &["192.0.2.9, nonsense"], "127.0.0.1");
        check("127.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }
}
