//! Files made to be trouble, through every real engine that is shipped.

use std::io::Write;

use acquit::model::Verdict;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::flow::Flow;
use crate::support;

/// Engines that are shipped.
const ENGINES: usize = 8;
const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn every_engine_answers_for_files_made_to_be_trouble() {
    // What takes an engine too long once does so twice.
    let flow = Flow::open_with(|config| config.engines.attempts = 1).await;
    let zeros = flow
        .accept(gibibyte_of_zeros(&flow).await, "zeros.bin")
        .await;
    let mut nested = b"nothing".to_vec();
    for _ in 0..40 {
        nested = zip(&[("a.zip", &nested, nested.len())]);
    }
    let zip_of_zeros = deflated(&vec![0; 64 * MIB]);
    let members = [("a", zip_of_zeros.as_slice(), 64 * MIB); 20];
    let bomb = flow.submit(&zip(&members), "bomb.zip").await;
    let nested = flow.submit(&nested, "nested.zip").await;
    let empty = flow.submit(b"", "empty").await;
    let mut corrupt = zip(&members[..2]);
    corrupt.truncate(40_000);
    corrupt[30..200].fill(0xff);
    let corrupt = flow.submit(&corrupt, "corrupt.zip").await;
    for (name, analysis) in [("empty", &empty), ("corrupt", &corrupt)] {
        let verdicts = answers(&flow, analysis, name).await;
        assert!(
            verdicts.iter().all(|(_, v)| !v.is_detection()),
            "{name}: {verdicts:?}"
        );
    }
    // Beyond its limits ClamAV has looked at a part only.
    for (name, analysis) in [("bomb", &bomb), ("nested", &nested), ("zeros", &zeros)] {
        let verdicts = answers(&flow, analysis, name).await;
        let clamav = verdicts.iter().find(|(id, _)| id == "clamav").unwrap();
        assert_ne!(clamav.1, Verdict::Undetected, "{name}");
    }
    check_names(&flow).await;
    flow.close().await;
}

async fn answers(
    flow: &Flow,
    analysis: &acquit::model::Analysis,
    name: &str,
) -> Vec<(String, Verdict)> {
    let verdicts = flow.completed(analysis).await;
    println!("{name}: {verdicts:?}");
    assert_eq!(verdicts.len(), ENGINES, "{name}: {verdicts:?}");
    verdicts
}

/// The name a file comes under changes no verdict, but for a plain extension.
async fn check_names(flow: &Flow) {
    let long = "n".repeat(4096);
    let names = [
        "../../../etc/passwd",
        "/etc/passwd",
        "..\\..\\boot.ini",
        "-rf",
        "--help",
        "a\nb: OK",
        "\u{202e}cod.exe",
        "$(reboot).sh;`id`",
        "con\0trol",
        &long,
    ];
    let mut submitted = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let bytes = format!("a file with the name {number}");
        submitted.push(flow.submit(bytes.as_bytes(), name).await);
        let eicar = [support::eicar(), vec![b'\n'; number + 1]].concat();
        submitted.push(flow.submit(&eicar, name).await);
    }
    for (number, analysis) in submitted.iter().enumerate() {
        let verdicts = flow.completed(analysis).await;
        assert_eq!(verdicts.len(), ENGINES);
        let clamav = verdicts.iter().find(|(id, _)| id == "clamav").unwrap();
        assert_eq!(clamav.1.is_detection(), number % 2 == 1, "{clamav:?}");
        assert!(verdicts.iter().all(|(_, v)| v.is_answer()), "{verdicts:?}");
    }
}

async fn gibibyte_of_zeros(flow: &Flow) -> acquit::store::Incoming {
    let chunk = bytes::Bytes::from(vec![0; MIB]);
    let mut incoming = flow.ingest.receive(4 << 30).unwrap();
    for _ in 0..1024 {
        incoming.write(chunk.clone()).await.unwrap();
    }
    incoming
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Makes an archive of members that are stored, or deflated zeros if their length is another.
fn zip(members: &[(&str, &[u8], usize)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, stored, length) in members {
        let deflated = stored.len() != *length;
        let mut crc = Crc::new();
        if deflated {
            (0..length / MIB).for_each(|_| crc.update(&[0; MIB]));
        } else {
            crc.update(stored);
        }
        let mut common = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend(u32::try_from(stored.len()).unwrap().to_le_bytes());
        common.extend(u32::try_from(*length).unwrap().to_le_bytes());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        let offset = u32::try_from(archive.len()).unwrap();
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.bytes());
        archive.extend(*stored);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let start = u32::try_from(archive.len()).unwrap();
    let length = u32::try_from(directory.len()).unwrap();
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count);
    archive.extend(count);
    archive.extend(length.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}
