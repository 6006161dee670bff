//! What an engine printed of a file, as far as it is of this file.

use axum::body::Body;
use axum::http::Method;

use crate::backend::{Client, bytes, part};
use crate::fault::Fault;

/// Most lines that a page shows; the whole is downloaded.
const LINES: usize = 40;

/// Lines an engine printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The lines.
    pub lines: String,
    /// Whether there are more.
    pub more: bool,
}

/// Returns where the output of an engine in an analysis is, below the API's root.
pub fn place(analysis: &str, engine: &str) -> String {
    format!("/acquit/analyses/{}/raw/{}", part(analysis), part(engine))
}

/// Reads what an engine printed; nothing if it is not kept any more.
///
/// # Errors
/// If the API fails.
pub async fn read(api: &Client, place: &str) -> Result<Option<Raw>, Fault> {
    let response = api.ask((Method::GET, place), Body::empty()).await?;
    if !response.status().is_success() {
        return Ok(None);
    }
    let staged = response.headers().get("x-acquit-staged-name");
    let staged = staged.and_then(|name| name.to_str().ok()).unwrap_or("");
    let staged = staged.to_owned();
    let body = bytes(response).await?;
    Ok(Some(of_file(&String::from_utf8_lossy(&body), &staged)))
}

/// Leaves of an output how the engine ended, and the lines that name the file: an output may be
/// that of a whole batch.
fn of_file(output: &str, staged: &str) -> Raw {
    let is_own = |number: usize, line: &str| number == 0 || line.contains(staged);
    let lines = output.lines().enumerate();
    let own: Vec<_> = lines
        .filter(|(number, line)| is_own(*number, line))
        .map(|(_, line)| line)
        .collect();
    let shown = own.len().min(LINES);
    Raw {
        lines: own[..shown].join("\n"),
        more: own.len() > LINES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_of_a_batch_are_left_out() {
        let output = "exit: 0\nA /scan/1/x\nB /scan/1/y\nC /scan/1/x\n";
        let raw = of_file(output, "/scan/1/x");
        assert_eq!(&*raw.lines, "exit: 0\nA /scan/1/x\nC /scan/1/x");
        assert!(!raw.more);
    }

    #[test]
    fn page_shows_the_beginning_of_much() {
        let output = "line\n".repeat(LINES + 1);
        let raw = of_file(&output, "");
        assert_eq!((raw.lines.lines().count(), raw.more), (LINES, true));
    }
}
