//! A dialogue in lines, as the manifest's `[run.dialog]` describes it.
//!
//! ```text
//! connect ─→ greeting ─→ hello: send, expect ─→ … ─→ request ─→ lines ─→ the last one ─→ bye
//! ```
//!
//! What the parser reads are the lines that answer the request. Whatever does
//! not fit before them, and an answer without its last line, is a failure that
//! no parser sees.

use std::sync::atomic::{AtomicBool, Ordering};

use regex::Regex;
use tokio::io::{ReadHalf, WriteHalf};

use super::manifest::DialogSpec;
use super::talk::{Broken, Ear, Heard, Question, Wire, both, text, write};

/// Most lines of one greeting.
const MAX_GREETING: usize = 64;
/// Bytes of a file in one frame.
const FRAME: u32 = 1 << 20;

/// A dialogue made ready from its manifest.
#[derive(Debug)]
pub struct Dialog {
    spec: DialogSpec,
    greeting: Option<Regex>,
    expects: Vec<Option<Regex>>,
    ready: Option<Regex>,
    until: Option<Regex>,
}

/// A server that has greeted.
#[derive(Debug)]
pub struct Greeted {
    ear: Ear<ReadHalf<Wire>>,
    mouth: WriteHalf<Wire>,
}

impl Dialog {
    /// Compiles its patterns.
    ///
    /// # Errors
    /// Says which is none, and why.
    pub fn new(spec: &DialogSpec) -> Result<Self, (String, regex::Error)> {
        let pattern = |key: &str, pattern: &Option<String>| {
            let compiled = pattern.as_deref().map(Regex::new).transpose();
            compiled.map_err(|error| (key.to_owned(), error))
        };
        let hello = spec.hello.iter().enumerate();
        let expects = hello.map(|(number, hello)| {
            pattern(&format!("run.dialog.hello.{number}.expect"), &hello.expect)
        });
        Ok(Self {
            greeting: pattern("run.dialog.greeting", &spec.greeting)?,
            expects: expects.collect::<Result<_, _>>()?,
            ready: pattern("run.dialog.ready", &spec.ready)?,
            until: pattern("run.dialog.until", &spec.until)?,
            spec: spec.clone(),
        })
    }

    /// Hears the greeting and says what must be said before anything is asked.
    ///
    /// # Errors
    /// If the server says something else, or nothing.
    pub async fn greet(&self, wire: Wire) -> Result<Greeted, Broken> {
        let (reader, mouth) = tokio::io::split(wire);
        let mut greeted = Greeted {
            ear: Ear::new(reader),
            mouth,
        };
        if let Some(greeting) = &self.greeting {
            greeted.expect(greeting, "the greeting").await?;
        }
        for (hello, expect) in self.spec.hello.iter().zip(&self.expects) {
            write(&mut greeted.mouth, hello.send.as_bytes()).await?;
            if let Some(expect) = expect {
                let word = hello.send.trim();
                greeted
                    .expect(expect, &format!("the answer to {word:?}"))
                    .await?;
            }
        }
        Ok(greeted)
    }

    /// Asks about a file, with all of an answer at most so many bytes.
    ///
    /// # Errors
    /// If no whole answer came.
    pub async fn ask(
        &self,
        greeted: Greeted,
        mut question: Question,
        most: u64,
    ) -> Result<Heard, Broken> {
        let Greeted { mut ear, mut mouth } = greeted;
        let request = question.fill(&self.spec.request);
        write(&mut mouth, request.as_bytes()).await?;
        if let Some(ready) = &self.ready {
            expect(&mut ear, ready, "the permission to send the file").await?;
        }
        let given = AtomicBool::new(false);
        let say = async {
            if self.spec.content {
                self.content(&mut question, &mut mouth).await?;
            }
            given.store(true, Ordering::Release);
            Ok(())
        };
        let hear = async {
            let text = self.answer(&mut ear, most).await?;
            // Who answers before it has the whole file can detect and not acquit.
            let code = i32::from(!given.load(Ordering::Acquire));
            Ok(Heard { code, text })
        };
        let heard = both(say, hear).await?;
        if let Some(bye) = &self.spec.bye {
            // The answer is whole; whether the server hears this changes nothing.
            let _ = write(&mut mouth, bye.as_bytes()).await;
        }
        Ok(heard)
    }

    /// Sends the file's bytes, framed as clamd's INSTREAM wants them if the manifest says so.
    async fn content(
        &self,
        question: &mut Question,
        mouth: &mut WriteHalf<Wire>,
    ) -> Result<(), Broken> {
        if !self.spec.framed {
            let length = question.size;
            return question.pour(mouth, length).await;
        }
        let mut left = question.size;
        while left > 0 {
            let length = left.min(FRAME.into());
            let head = u32::try_from(length).unwrap_or(FRAME).to_be_bytes();
            write(mouth, &head).await?;
            question.pour(mouth, length).await?;
            left -= length;
        }
        write(mouth, &[0; 4]).await
    }

    /// Asks what the server scans with; the answer is one line, or ends with one that matches.
    ///
    /// # Errors
    /// If no whole answer came.
    pub async fn version(
        &self,
        mut greeted: Greeted,
        (ask, until): (&str, Option<&Regex>),
    ) -> Result<String, Broken> {
        write(&mut greeted.mouth, ask.as_bytes()).await?;
        let mut said = String::new();
        for _ in 0..MAX_GREETING {
            let line = whole_line(&mut greeted.ear, "the version").await?;
            let line = text(&line);
            said.push_str(&line);
            said.push('\n');
            if until.is_none_or(|until| until.is_match(&line)) {
                return Ok(said);
            }
        }
        Err(Broken::senseless("the version has no end", said.as_bytes()))
    }

    /// Reads an answer up to its last line, or, without one, to the end of the connection.
    async fn answer(&self, ear: &mut Ear<ReadHalf<Wire>>, most: u64) -> Result<Vec<u8>, Broken> {
        let mut answer = Vec::new();
        loop {
            let line = ear.line().await?;
            let ended = !matches!(line.last(), Some(b'\n' | 0));
            answer.extend_from_slice(&line);
            if answer.len() as u64 > most {
                return Err(Broken::Flood {
                    limit_kb: most >> 10,
                });
            }
            match &self.until {
                Some(_) if ended => return Err(Broken::ended("the answer")),
                Some(until) if until.is_match(&text(&line)) => break,
                None if ended && answer.is_empty() => return Err(Broken::ended("the answer")),
                None if ended => return Ok(answer),
                Some(_) | None => {}
            }
        }
        let more = ear.waiting();
        if more
            .iter()
            .any(|byte| !byte.is_ascii_whitespace() && *byte != 0)
        {
            return Err(Broken::senseless("something follows the answer", more));
        }
        Ok(answer)
    }
}

impl Greeted {
    async fn expect(&mut self, pattern: &Regex, what: &str) -> Result<(), Broken> {
        expect(&mut self.ear, pattern, what).await
    }
}

/// Reads one line that must match; lines with a number and a hyphen before it belong to it.
async fn expect(ear: &mut Ear<ReadHalf<Wire>>, pattern: &Regex, what: &str) -> Result<(), Broken> {
    for _ in 0..MAX_GREETING {
        let line = whole_line(ear, what).await?;
        let said = text(&line);
        if pattern.is_match(&said) {
            return Ok(());
        }
        if !goes_on(&said) {
            return Err(Broken::senseless(&format!("{what} is another"), &line));
        }
    }
    Err(Broken::Senseless(format!("{what} has no end")))
}

async fn whole_line(ear: &mut Ear<ReadHalf<Wire>>, what: &str) -> Result<Vec<u8>, Broken> {
    let line = ear.line().await?;
    match line.last() {
        Some(b'\n' | 0) => Ok(line),
        Some(_) | None => Err(Broken::ended(what)),
    }
}

/// Tells whether a line says that another one belongs to it, as in `220-AVG daemon`.
fn goes_on(line: &str) -> bool {
    let line = line.as_bytes();
    line.len() > 3 && line[3] == b'-' && line[..3].iter().all(u8::is_ascii_digit)
}
