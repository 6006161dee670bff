//! What a form sends: its fields, read only if the form was given to this session.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};

use crate::fault::Fault;
use crate::session::{Viewer, is_ours, is_same_site};

/// The fields of a form that a page of this session sent.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Who sent it.
    pub viewer: Viewer,
    fields: Vec<(String, String)>,
}

impl Posted {
    /// Returns a field without the spaces around it; empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// Returns a field as it was typed; empty if it is not there.
    pub fn raw(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Returns a field that was filled in.
    pub fn filled(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|text| !text.is_empty())
    }

    /// Tells whether a box was ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Returns every value of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter().filter(move |(key, _)| key == name);
        fields.map(|(_, value)| value.as_str())
    }

    /// Returns the lines of a field that are not empty.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.raw(name)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    }
}

/// Reads fields as a browser writes them, which ends lines of its own with two characters.
pub fn fields(body: &[u8]) -> Vec<(String, String)> {
    let fields = form_urlencoded::parse(body);
    let fields = fields.map(|(name, value)| (name.into_owned(), value.replace("\r\n", "\n")));
    fields.collect()
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let viewer = request.extensions().get::<Viewer>().cloned();
        let viewer = viewer.ok_or_else(Fault::stranger)?;
        if !is_same_site(request.method(), request.headers()) {
            return Err(Fault::forged());
        }
        let body = Bytes::from_request(request, state).await;
        let body =
            body.map_err(|error| Fault::api(error.status(), String::new(), error.body_text()))?;
        let posted = Self {
            viewer,
            fields: fields(&body),
        };
        if !is_ours(&posted.viewer, posted.raw("csrf")) {
            return Err(Fault::forged());
        }
        Ok(posted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_they_do_everywhere_else() {
        let fields = fields(b"text=a%0D%0A%0D%0Ab&x=1");
        assert_eq!(fields[0], ("text".to_owned(), "a\n\nb".to_owned()));
    }
}
