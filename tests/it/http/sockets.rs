//! What comes over the wire when the other end is slow, broken or hostile.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::appliance::Appliance;

const SOON: Duration = Duration::from_secs(10);

/// Sends bytes and reads all that comes back until the other end closes.
async fn exchange(appliance: &Appliance, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(appliance.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_all(stream).await
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until a text has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains(text) {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
    };
    timeout(SOON, reading).await.expect("an answer comes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

fn upload_head(appliance: &Appliance, length: &str) -> String {
    format!(
        "POST /api/v3/files HTTP/1.1\r\nHost: localhost\r\nx-apikey: {}\r\n\
         Content-Type: multipart/form-data; boundary=B\r\n{length}\r\n\r\n",
        appliance.publisher
    )
}

const PART: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";

fn assert_nothing_is_left(appliance: &Appliance) {
    assert_eq!(appliance.kept("blobs"), [""; 0]);
    assert_eq!(appliance.kept("incoming"), [""; 0]);
}

/// Waits until nothing is coming in, since a dropped upload is swept by its writer.
async fn until_nothing_comes_in(appliance: &Appliance) {
    let started = Instant::now();
    while !appliance.kept("incoming").is_empty() {
        assert!(started.elapsed() < SOON, "a temporary file is left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn form_cut_at_any_place_is_refused_and_leaves_nothing() {
    let appliance = Appliance::start().await;
    let whole = format!("{PART}{}\r\n--B--\r\n", "x".repeat(3000));
    for cut in [0, 1, 20, 100, 500, whole.len() - 20, whole.len() - 5] {
        let head = upload_head(
            &appliance,
            &format!("Content-Length: {cut}\r\nConnection: close"),
        );
        let answer = exchange(&appliance, format!("{head}{}", &whole[..cut]).as_bytes()).await;
        assert_eq!(status(&answer), "400", "cut at {cut}: {answer}");
        assert!(answer.contains("BadRequestError"), "{answer}");
    }
    until_nothing_comes_in(&appliance).await;
    assert_nothing_is_left(&appliance);
}

#[tokio::test]
async fn upload_whose_client_goes_away_leaves_nothing() {
    let appliance = Appliance::start().await;
    for length in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let head = upload_head(&appliance, length);
        let mut stream = TcpStream::connect(appliance.address).await.unwrap();
        let body = format!("{PART}{}", "x".repeat(2000));
        let body = match length {
            "Transfer-Encoding: chunked" => format!("{:x}\r\n{body}\r\n", body.len()),
            _ => body,
        };
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        while appliance.kept("incoming").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(stream);
        until_nothing_comes_in(&appliance).await;
    }
    assert_nothing_is_left(&appliance);
}

#[tokio::test]
async fn upload_without_a_length_is_taken() {
    let appliance = Appliance::start().await;
    let head = upload_head(
        &appliance,
        "Transfer-Encoding: chunked\r\nConnection: close",
    );
    let whole = format!("{PART}hello\r\n--B--\r\n");
    let mut request = head;
    for piece in whole.as_bytes().chunks(7) {
        let text = String::from_utf8_lossy(piece);
        request += &format!("{:x}\r\n{text}\r\n", piece.len());
    }
    request += "0\r\n\r\n";
    let answer = exchange(&appliance, request.as_bytes()).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(appliance.kept("blobs").len(), 1);
}

#[tokio::test]
async fn announced_length_over_the_limit_is_refused_before_the_body() {
    let appliance = Appliance::start().await;
    let head = upload_head(&appliance, "Content-Length: 73400320");
    let mut stream = TcpStream::connect(appliance.address).await.unwrap();
    let started = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "upload_url").await;
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(status(&answer), "413");
    assert!(answer.contains("\"code\""));
}

#[tokio::test]
async fn client_that_sends_all_before_it_reads_still_sees_why_it_is_refused() {
    let appliance = Appliance::start().await;
    let head = upload_head(&appliance, "Content-Length: 73400320");
    let mut stream = TcpStream::connect(appliance.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..70 {
        stream
            .write_all(&piece)
            .await
            .expect("the body is read to its end");
    }
    let answer = read_until(&mut stream, "upload_url").await;
    assert_eq!(status(&answer), "413");
}

#[tokio::test]
async fn stalled_upload_is_given_up_and_leaves_nothing() {
    let appliance = Appliance::start_with(|config| config.http.body_timeout_seconds = 1).await;
    let head = upload_head(&appliance, "Content-Length: 100000");
    let mut stream = TcpStream::connect(appliance.address).await.unwrap();
    let started = Instant::now();
    stream
        .write_all(format!("{head}{PART}xxx").as_bytes())
        .await
        .unwrap();
    let answer = read_until(&mut stream, "}}").await;
    assert_eq!(status(&answer), "408", "{answer}");
    assert!(answer.contains("DeadlineExceededError"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(3));
    until_nothing_comes_in(&appliance).await;
    assert_nothing_is_left(&appliance);
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed_while_others_are_answered() {
    let appliance = Appliance::start_with(|config| config.http.header_timeout_seconds = 1).await;
    let started = Instant::now();
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(appliance.address).await.unwrap();
        if n % 2 == 0 {
            stream
                .write_all(b"GET /livez HTTP/1.1\r\nHost: loc")
                .await
                .unwrap();
        }
        slow.push(stream);
    }
    appliance.json("/users/me").await;
    for stream in slow {
        read_all(stream).await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn ambiguous_lengths_are_refused_with_one_answer() {
    let appliance = Appliance::start().await;
    let smuggled = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5x",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
    ];
    for lengths in heads {
        let head = upload_head(&appliance, lengths);
        let request = format!("{head}0\r\n\r\n{smuggled}");
        let answer = exchange(&appliance, request.as_bytes()).await;
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{lengths}: {answer}"
        );
        assert_eq!(status(&answer), "400", "{lengths}: {answer}");
        assert!(!answer.contains("alive"), "{lengths}: {answer}");
    }
    assert_nothing_is_left(&appliance);
}

#[tokio::test]
async fn host_must_be_given_once_and_be_ours() {
    let appliance = Appliance::start().await;
    let get = |line: &str, hosts: &str| {
        format!("GET {line} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n").into_bytes()
    };
    for (line, hosts, expected) in [
        ("/livez", "Host: localhost\r\n", "200"),
        ("/livez", "", "400"),
        ("/livez", "Host: localhost\r\nHost: evil.test\r\n", "400"),
        ("/livez", "Host: me@localhost\r\n", "400"),
        ("/livez", "Host: evil.test\r\n", "421"),
        ("http://evil.test/livez", "Host: localhost\r\n", "421"),
        ("http://localhost/livez", "Host: evil.test\r\n", "421"),
    ] {
        let answer = exchange(&appliance, &get(line, hosts)).await;
        assert_eq!(status(&answer), expected, "{line} {hosts}: {answer}");
    }
}

#[tokio::test]
async fn too_many_and_too_long_headers_are_refused() {
    let appliance = Appliance::start().await;
    let many = "a: b\r\n".repeat(200);
    let long = format!("a: {}\r\n", "b".repeat(600 << 10));
    for headers in [many, long] {
        let request = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(appliance.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.ok();
        let answer = read_all(stream).await;
        assert_eq!(status(&answer), "431", "{answer}");
    }
    appliance.json("/users/me").await;
}

#[tokio::test]
async fn names_that_are_no_text_are_taken_or_refused_but_never_break() {
    let appliance = Appliance::start().await;
    let names: [(&[u8], &str); 4] = [
        (b"\xff\xfe\x80.bin", "200"),
        (b"a\\\"b.bin", "200"),
        (b"a\x00b", "400"),
        (b"a\nb", "400"),
    ];
    for (name, expected) in names {
        let mut body =
            b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"".to_vec();
        body.extend_from_slice(name);
        body.extend_from_slice(b"\"\r\n\r\nabc\r\n--B--\r\n");
        let length = format!("Content-Length: {}\r\nConnection: close", body.len());
        let mut request = upload_head(&appliance, &length).into_bytes();
        request.extend(body);
        let answer = exchange(&appliance, &request).await;
        assert_eq!(status(&answer), expected, "{name:?}: {answer}");
    }
    until_nothing_comes_in(&appliance).await;
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let appliance = Appliance::start_with(|config| {
        config.http.connections = 2;
        config.http.header_timeout_seconds = 1;
    });
    let appliance = appliance.await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(TcpStream::connect(appliance.address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let started = Instant::now();
    let answer = exchange(&appliance, request).await;
    assert_eq!(status(&answer), "200");
    assert!(
        started.elapsed() > Duration::from_millis(500),
        "it had to wait for a place"
    );
}

#[tokio::test]
async fn request_under_way_is_answered_when_the_daemon_ends() {
    let mut appliance = Appliance::start().await;
    let body = format!("{PART}hello\r\n--B--\r\n");
    let head = upload_head(&appliance, &format!("Content-Length: {}", body.len()));
    let mut stream = TcpStream::connect(appliance.address).await.unwrap();
    let (first, rest) = body.split_at(80);
    stream
        .write_all(format!("{head}{first}").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let finishing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        read_all(stream).await
    };
    let ((), answer) = tokio::join!(appliance.stop(), finishing);
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(TcpStream::connect(appliance.address).await.is_err());
}
