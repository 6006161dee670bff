//! Whether anything outside the container can be reached.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::Check;

const PATIENCE: Duration = Duration::from_millis(250);
/// Reachable from anywhere with a network.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
/// Docker's own default, if the routes do not say.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const DOCKER_SOCKETS: [&str; 4] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
];

/// Makes all attempts.
pub fn checks() -> Vec<Check> {
    let tcp = SockType::Stream;
    let raw = SockType::Raw;
    vec![
        interfaces(),
        connect("network.tcp", OUTSIDE),
        connect("network.gateway", gateway().unwrap_or(GATEWAY)),
        udp(),
        family(
            "network.raw_socket",
            AddressFamily::Inet,
            raw,
            Some(SockProtocol::Icmp),
        ),
        family("network.packet_socket", AddressFamily::Packet, raw, None),
        family("network.vsock", AddressFamily::Vsock, tcp, None),
        family("network.netlink", AddressFamily::Netlink, raw, None),
        docker_socket(),
    ]
}

fn interfaces() -> Check {
    let name = "network.interfaces";
    match fs::read_to_string("/proc/self/net/dev") {
        Ok(text) => {
            let found: Vec<&str> = text
                .lines()
                .filter_map(|line| Some(line.split_once(':')?.0.trim()))
                .collect();
            let held = found.iter().all(|interface| *interface == "lo");
            Check::new(name, held, format!("interfaces: {}", found.join(", ")))
        }
        Err(error) => Check::new(name, false, format!("cannot list interfaces: {error}")),
    }
}

fn connect(name: &str, address: Ipv4Addr) -> Check {
    let address = SocketAddr::from((address, 80));
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Check::new(name, false, format!("connected to {address}")),
        Err(error) => stopped(name, &error),
    }
}

fn udp() -> Check {
    let name = "network.udp";
    let sent = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.send_to(b"acquit", (OUTSIDE, 53)));
    match sent {
        Ok(_) => Check::new(name, false, format!("sent to {OUTSIDE}")),
        Err(error) => stopped(name, &error),
    }
}

fn family(
    name: &str,
    family: AddressFamily,
    kind: SockType,
    protocol: Option<SockProtocol>,
) -> Check {
    match socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol) {
        Ok(_) => Check::new(name, false, "the socket was made"),
        Err(errno) => stopped(name, &io::Error::from(errno)),
    }
}

/// Only an error that shows that no packet left is a proof; silence or a refusal is none.
fn stopped(name: &str, error: &io::Error) -> Check {
    let held = matches!(
        error.raw_os_error(),
        Some(libc::EPERM | libc::EACCES | libc::ENETUNREACH | libc::EAFNOSUPPORT)
    );
    Check::new(name, held, error.to_string())
}

/// Reads the default route, hexadecimal and in the machine's byte order.
fn gateway() -> Option<Ipv4Addr> {
    let routes = fs::read_to_string("/proc/self/net/route").ok()?;
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let address = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000").then(|| Ipv4Addr::from(address.to_ne_bytes()))
    })
}

fn docker_socket() -> Check {
    let found: Vec<String> = DOCKER_SOCKETS
        .iter()
        .filter_map(|path| match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(format!("{path}: {error}")),
            Ok(_) => Some(format!("{path}: connected")),
        })
        .collect();
    match found.as_slice() {
        [] => Check::new("docker.socket", true, "there is none"),
        _ => Check::new("docker.socket", false, found.join("; ")),
    }
}
