//! The one thread that writes lines, and what is done with the files of the process before.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tracing::{error, warn};

use super::head::Head;
use super::read::{Backwards, MAX_LINE_BYTES, next_line, open, segments};
use super::{End, LedgerError, Witness, failed};
use crate::model::{LedgerEntry, LedgerLine, Timestamp};
use crate::store::tables::sync_dir;

/// Most lines in one group.
const GROUP: usize = 512;

/// A line to be written, and who waits for it.
pub struct Ticket {
    pub entry: LedgerEntry,
    pub answer: oneshot::Sender<Result<(), LedgerError>>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

/// The writing thread.
pub struct WriterThread {
    dir: std::path::PathBuf,
    head: Head,
    file: Option<File>,
    end: Arc<Mutex<End>>,
    /// Told of every group, if anybody is.
    pub witness: Option<Witness>,
}

impl WriterThread {
    /// Makes the thread's state; the ledger ends with `head`.
    pub fn new(dir: &Path, head: Head, end: Arc<Mutex<End>>) -> Self {
        Self {
            dir: dir.to_owned(),
            head,
            file: None,
            end,
            witness: None,
        }
    }

    /// Writes what comes until nobody is left who could want anything written.
    pub fn run(&mut self, waiting: &Receiver<Ticket>) {
        while let Ok(first) = waiting.recv() {
            let rest = std::iter::from_fn(|| waiting.try_recv().ok());
            let group: Vec<_> = std::iter::once(first).chain(rest).take(GROUP).collect();
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Ticket>) {
        let (mut head, mut text, mut waiting) = (self.head.clone(), String::new(), Vec::new());
        let month = group.iter().map(|ticket| month(ticket.entry.at)).max();
        for Ticket { entry, answer } in group {
            match seal(&head, &entry) {
                Ok((line, hash)) => {
                    (head.seq, head.hash) = (head.seq + 1, hash);
                    text.push_str(&line);
                    waiting.push(answer);
                }
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        // A clock that goes back must not put a line before those that are there.
        head.segment = head.segment.max(month.unwrap_or_default());
        let written = match waiting.is_empty() {
            true => return,
            false => self.persist(head, &text),
        };
        if let Err(error) = &written {
            error!(error = %error, "Cannot write {} lines of the ledger", waiting.len());
        }
        let written = written.map_err(|error| failed(&error));
        for answer in waiting {
            // The caller may have gone; the line stands all the same.
            let _ = answer.send(written.clone());
        }
    }

    /// Writes lines and the head after them; after an error the files are as before.
    fn persist(&mut self, mut head: Head, text: &str) -> io::Result<()> {
        let (start, file) = match self.file.take() {
            Some(file) if head.segment == self.head.segment => (self.head.end, file),
            _ => {
                let file = open_segment(&self.dir, &head.segment)?;
                let same = head.segment == self.head.segment;
                (if same { self.head.end } else { 0 }, file)
            }
        };
        // Whatever a failed write left, or somebody put there, is not ours.
        file.set_len(start)?;
        head.end = start + text.len() as u64;
        let written = file.write_all_at(text.as_bytes(), start);
        let written = written.and_then(|()| file.sync_data());
        if let Err(error) = written.and_then(|()| head.write(&self.dir)) {
            file.set_len(start)?;
            return Err(error);
        }
        self.file = Some(file);
        self.head = head;
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.head = self.head.clone();
        if let Some(witness) = &self.witness {
            witness(self.head.seq);
        }
        Ok(())
    }
}

fn seal(head: &Head, entry: &LedgerEntry) -> Result<(String, crate::model::Sha256), LedgerError> {
    let sealed = LedgerLine::seal((head.seq + 1, head.hash), entry);
    let (mut line, hash) = sealed.map_err(|error| failed(&error))?;
    line.push('\n');
    if line.len() > MAX_LINE_BYTES {
        return Err(failed(&"the line is too long"));
    }
    Ok((line, hash))
}

/// Returns the name of the file of a month.
pub fn month(at: Timestamp) -> String {
    let at = i64::try_from(at.millis()).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(String::new, |at| format!("{}.jsonl", at.strftime("%Y-%m")))
}

fn open_segment(dir: &Path, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(dir.join(name))?;
    sync_dir(dir)?;
    Ok(file)
}

/// Finds where the ledger of the process before ends, and cuts what it left torn.
pub fn recover(dir: &Path, witnessed: u64) -> io::Result<Head> {
    std::fs::create_dir_all(dir)?;
    let head = known_head(dir)?;
    let mut found = match head {
        Some(head) if head.seq >= witnessed => follow(dir, head)?,
        // Nothing is cut off a ledger whose end is not known for sure.
        Some(_) | None => survey(dir, witnessed)?,
    };
    if found.seq < witnessed {
        error!(
            found = found.seq,
            acknowledged = witnessed,
            "The ledger has lost lines; `acquit ledger verify` says which"
        );
        // Counting on from what was acknowledged leaves the gap to be seen.
        found.seq = witnessed;
    }
    sync_dir(dir)?;
    Ok(found)
}

/// Reads the head, if it is there and fits the lines.
fn known_head(dir: &Path) -> io::Result<Option<Head>> {
    let mut head = match Head::read(dir)? {
        None => return Ok(None),
        Some(Ok(head)) => head,
        Some(Err(reason)) => {
            error!(
                reason,
                "The ledger's head cannot be understood and is put aside"
            );
            Head::put_aside(dir)?;
            return Ok(None);
        }
    };
    if head.segment.is_empty() {
        return Ok(Some(head));
    }
    let file = open_segment(dir, &head.segment)?;
    let length = file.metadata()?.len();
    if length < head.end {
        error!("Lines at the end of the ledger are missing; `acquit ledger verify` says which");
        head.end = whole(&file, length)?;
        return Ok(Some(head));
    }
    if Backwards::new(file, head.end)
        .next()?
        .and_then(|(text, _)| open(&text))
        .map(|l| l.hash)
        != Some(head.hash)
    {
        error!("The ledger's head does not fit its last line and is put aside");
        Head::put_aside(dir)?;
        return Ok(None);
    }
    Ok(Some(head))
}

/// Follows the lines after the head: written, but not acknowledged before the process ended.
/// What is no line there is what a crash left of one.
fn follow(dir: &Path, mut head: Head) -> io::Result<Head> {
    let first = head.segment.clone();
    for name in segments(dir)?.into_iter().filter(|name| *name >= first) {
        let file = open_segment(dir, &name)?;
        let mut at = if name == first { head.end } else { 0 };
        let mut reader = BufReader::new(&file);
        reader.seek(SeekFrom::Start(at))?;
        while let Some(text) = next_line(&mut reader)? {
            let next = open(&text);
            let next = next.filter(|line| line.seq == head.seq + 1 && line.before == head.hash);
            let Some(line) = next else {
                warn!("Lines at the end of {name} were torn before they were acknowledged");
                break;
            };
            at += text.len() as u64;
            (head.seq, head.hash, head.end) = (line.seq, line.hash, at);
            head.segment.clone_from(&name);
        }
        file.set_len(at)?;
        file.sync_data()?;
    }
    Ok(head)
}

/// Finds the last whole line there is, whatever is before it.
fn survey(dir: &Path, witnessed: u64) -> io::Result<Head> {
    let mut head = Head::empty();
    for name in segments(dir)? {
        let file = open_segment(dir, &name)?;
        let (mut at, mut reader) = (0, BufReader::new(&file));
        while let Some(text) = next_line(&mut reader)? {
            let torn = text.last() != Some(&b'\n');
            if torn && text.len() < MAX_LINE_BYTES && head.seq >= witnessed {
                file.set_len(at)?;
                break;
            }
            at += text.len() as u64;
            if let Some(line) = open(&text) {
                (head.seq, head.hash) = (line.seq, line.hash);
            }
        }
        (head.segment, head.end) = (name, whole(&file, at)?);
    }
    Ok(head)
}

/// Sees to it that a file ends with the end of a line; returns its length.
fn whole(file: &File, length: u64) -> io::Result<u64> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last == *b"\n" {
        return Ok(length);
    }
    file.write_all_at(b"\n", length)?;
    file.sync_data()?;
    Ok(length + 1)
}
