//! What the ledger keeps, what it cuts, and what it finds.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

struct Bench {
    dir: tempfile::TempDir,
    witnessed: u64,
}

impl Bench {
    /// Makes a ledger with lines 1 to `count` and closes it.
    async fn new(count: u64) -> Self {
        let mut bench = Self {
            dir: tempfile::tempdir().unwrap(),
            witnessed: 0,
        };
        bench.append(count).await;
        bench
    }

    fn open(&self) -> Ledger {
        Ledger::open(self.dir.path(), self.witnessed, Box::new(|_| ())).unwrap()
    }

    async fn append(&mut self, count: u64) {
        let ledger = self.open();
        for number in 0..count {
            ledger.append(entry(number)).await.unwrap();
        }
        self.witnessed = ledger.end().head.seq;
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("1970-01.jsonl")
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn put(&self, lines: &[String]) {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(self.path(), lines).unwrap();
    }

    /// Opens the ledger after meddling, and again after one more line.
    async fn judge(&mut self) -> [Result<u64, LedgerFault>; 2] {
        let verdict = |ledger: &Ledger| ledger.verify().unwrap().map(|(seq, _)| seq);
        let ledger = self.open();
        let first = verdict(&ledger);
        ledger.append(entry(99)).await.unwrap();
        drop(ledger);
        [first, verdict(&self.open())]
    }
}

fn entry(number: u64) -> LedgerEntry {
    let (at, text) = (Timestamp::from_millis(number), format!("act {number}"));
    let kind = if number.is_multiple_of(2) {
        LedgerKind::Egress
    } else {
        LedgerKind::Access
    };
    let mut entry = LedgerEntry::new(at, kind, "acquit".to_owned(), text);
    entry.publisher = Some(format!("p{}", number % 3).parse().unwrap());
    entry
}

#[tokio::test]
async fn lines_are_there_again_and_hold_together() {
    let mut bench = Bench::new(5).await;
    bench.append(5).await;
    assert_eq!(bench.judge().await, [Ok(10), Ok(11)]);
    let mode = std::fs::metadata(bench.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_new_month_begins_a_new_file_in_the_same_chain() {
    let bench = Bench::new(3).await;
    let ledger = bench.open();
    let mut late = entry(1);
    late.at = Timestamp::from_millis(40 * 86_400_000);
    ledger.append(late).await.unwrap();
    // A clock that went back.
    ledger.append(entry(1)).await.unwrap();
    let names = read::segments(bench.dir.path()).unwrap();
    assert_eq!(names, ["1970-01.jsonl", "1970-02.jsonl"]);
    assert_eq!(ledger.verify().unwrap().map(|(seq, _)| seq), Ok(5));
    let (lines, next) = ledger.list(&LedgerFilter::default(), None, 4).unwrap();
    assert_eq!(
        lines.iter().map(|line| line.seq).collect::<Vec<_>>(),
        [5, 4, 3, 2]
    );
    let (lines, next) = ledger.list(&LedgerFilter::default(), next, 4).unwrap();
    assert_eq!((lines.len(), lines[0].seq, next), (1, 1, None));
}

#[tokio::test]
async fn only_lines_that_fit_are_listed_and_no_page_is_empty() {
    let bench = Bench::new(1000).await;
    let ledger = bench.open();
    let filter = LedgerFilter {
        kind: Some(LedgerKind::Access),
        publisher: Some("p1".parse().unwrap()),
        from: Some(Timestamp::from_millis(100)),
        to: Some(Timestamp::from_millis(700)),
        ..LedgerFilter::default()
    };
    let (mut seen, mut place) = (Vec::new(), None);
    loop {
        let (lines, next) = ledger.list(&filter, place, 9).unwrap();
        assert!(!lines.is_empty());
        seen.extend(lines.iter().map(|line| line.entry.at.millis()));
        let Some(next) = next else { break };
        place = Place::from_bytes(&next.to_bytes());
        assert_eq!(place, Some(next));
    }
    let expected = (100..=700).rev().filter(|n| n % 2 == 1 && n % 3 == 1);
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn one_request_looks_at_so_much_and_goes_on_from_there() {
    let bench = Bench::new(1).await;
    let ledger = bench.open();
    let mut rare = entry(1);
    rare.actor = "k \"1\"".to_owned();
    ledger.append(rare).await.unwrap();
    let mut long = entry(2);
    long.text = "x".repeat(300_000);
    for _ in 0..250 {
        ledger.append(long.clone()).await.unwrap();
    }
    let filter = LedgerFilter {
        actor: Some("k \"1\"".to_owned()),
        ..LedgerFilter::default()
    };
    let (mut seen, mut place, mut pages) = (Vec::new(), None, 0);
    loop {
        let (lines, next) = ledger.list(&filter, place, 9).unwrap();
        seen.extend(lines.into_iter().map(|line| line.seq));
        pages += 1;
        let Some(next) = next else { break };
        place = Some(next);
    }
    assert_eq!((seen, pages), (vec![2], 3));
}

#[tokio::test]
async fn torn_line_was_never_acknowledged_and_is_cut() {
    let mut bench = Bench::new(5).await;
    let mut text = std::fs::read(bench.path()).unwrap();
    let half = text[..text.len() / 7].to_vec();
    text.extend(half);
    std::fs::write(bench.path(), text).unwrap();
    assert_eq!(bench.judge().await, [Ok(5), Ok(6)]);
}

#[tokio::test]
async fn whole_line_that_was_not_acknowledged_stays() {
    let mut bench = Bench::new(5).await;
    let head = std::fs::read(bench.dir.path().join("head")).unwrap();
    let witnessed = bench.witnessed;
    bench.append(2).await;
    std::fs::write(bench.dir.path().join("head"), head).unwrap();
    bench.witnessed = witnessed;
    assert_eq!(bench.judge().await, [Ok(7), Ok(8)]);
}

/// What somebody does to the lines.
type Meddle<'a> = &'a dyn Fn(&mut Vec<String>);

#[tokio::test]
async fn meddling_is_found_at_once_and_stays_to_be_seen() {
    let faults: [(Meddle<'_>, u64); 6] = [
        (&|lines| lines[4] = lines[4].replace("act", "art"), 5),
        (&|lines| lines[8] = lines[8].replace("act", "art"), 9),
        (&|lines| drop(lines.remove(4)), 5),
        (&|lines| drop(lines.pop()), 9),
        (&|lines| lines.swap(4, 5), 5),
        (&|lines| lines.insert(5, lines[4].clone()), 5),
    ];
    for (number, (meddle, expected)) in faults.into_iter().enumerate() {
        let mut bench = Bench::new(9).await;
        let mut lines = bench.lines();
        meddle(&mut lines);
        bench.put(&lines);
        let found = bench.judge().await.map(|found| found.unwrap_err().seq());
        assert_eq!(found, [expected; 2], "case {number}");
    }
}

#[tokio::test]
async fn tail_is_missed_even_if_the_head_was_edited_to_fit() {
    let mut bench = Bench::new(7).await;
    let (head, lines) = (
        std::fs::read(bench.dir.path().join("head")).unwrap(),
        bench.lines(),
    );
    bench.append(2).await;
    bench.put(&lines);
    std::fs::write(bench.dir.path().join("head"), head).unwrap();
    let found = bench.judge().await.map(|found| found.unwrap_err().seq());
    assert_eq!(found, [8, 8]);
}

#[tokio::test]
async fn head_that_was_edited_is_a_fault_and_costs_no_line() {
    for (from, to) in [
        ("\"seq\":9", "\"seq\":12"),
        ("\"hash\":\"", "\"hash\":\"0"),
        ("{", ""),
    ] {
        let mut bench = Bench::new(9).await;
        let path = bench.dir.path().join("head");
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replacen(from, to, 1);
        std::fs::write(&path, text).unwrap();
        let found = bench.judge().await;
        assert!(found.iter().all(Result::is_err), "{to}: {found:?}");
        assert_eq!(bench.lines().len(), 10);
    }
}

#[tokio::test]
async fn last_line_replaced_under_a_running_daemon_is_found() {
    let bench = Bench::new(3).await;
    let ledger = bench.open();
    let mut lines = bench.lines();
    let line = LedgerLine::open(&lines[2]).unwrap();
    let mut entry = line.entry;
    entry.text = "tca 2".to_owned();
    lines[2] = LedgerLine::seal((3, line.before), &entry).unwrap().0;
    bench.put(&lines);
    assert_eq!(
        ledger.verify().unwrap(),
        Err(LedgerFault::Replaced { seq: 3 })
    );
}

#[tokio::test]
async fn line_that_cannot_be_written_is_not_acknowledged_and_leaves_nothing() {
    let mut bench = Bench::new(3).await;
    let ledger = bench.open();
    // Nothing can be put in the place of a directory: the head cannot be written.
    let head = bench.dir.path().join("head");
    let kept = bench.dir.path().join("kept");
    std::fs::rename(&head, &kept).unwrap();
    std::fs::create_dir_all(head.join("in the way")).unwrap();
    assert!(ledger.append(entry(7)).await.is_err());
    assert_eq!(bench.lines().len(), 3);
    std::fs::remove_dir_all(&head).unwrap();
    std::fs::rename(&kept, &head).unwrap();
    ledger.append(entry(8)).await.unwrap();
    assert_eq!(ledger.verify().unwrap().map(|(seq, _)| seq), Ok(4));
    drop(ledger);
    bench.witnessed = 4;
    assert_eq!(bench.judge().await, [Ok(4), Ok(5)]);
}
