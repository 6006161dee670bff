//! Brings folders and files into a collection where there are no scripts: a form's files are
//! passed on to the API as they come, none is kept in memory.

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use multer::{Field, Multipart};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::place::{Asked, Place, folder_of};
use crate::backend::{self, Answer, query};
use crate::fault::Fault;
use crate::form::Posted;
use crate::session::{Viewer, go, is_ours, is_same_site, local};

/// Where files of a form go.
#[derive(Debug, Deserialize)]
pub struct Upload {
    #[serde(default)]
    owner: String,
    #[serde(default)]
    folder: String,
    #[serde(default)]
    csrf: String,
}

/// Puts the files of a form into a folder.
///
/// # Errors
/// What the API says of the first file it does not take, and how many were taken before.
pub async fn upload(
    viewer: Viewer,
    Query(to): Query<Upload>,
    request: Request,
) -> Result<Response, Fault> {
    if !is_ours(&viewer, &to.csrf) || !is_same_site(request.method(), request.headers()) {
        return Err(Fault::forged());
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let boundary = multer::parse_boundary(kind);
    let boundary = boundary.map_err(|_| Fault::bad("this is no form with files"))?;
    let mut form = Multipart::new(request.into_body().into_data_stream(), boundary);
    let (mut count, broken) = (0_u64, |_| Fault::bad("the upload broke off: send it again"));
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let Some(path) = field.file_name().and_then(|name| inside(&to.folder, name)) else {
            continue;
        };
        let put = put(&viewer, (&to.owner, &path), field).await;
        put.map_err(|fault| Fault {
            message: format!(
                "{count} files were uploaded before this one: {}",
                fault.message
            ),
            ..fault
        })?;
        count += 1;
    }
    let asked = Asked {
        folder: to.folder,
        ..Asked::default()
    };
    let said = match count {
        0 => {
            return Err(Fault::bad(
                "no file was chosen: choose one or more, then upload",
            ));
        }
        1 => "1 file was uploaded. Engines look at it now.".to_owned(),
        count => format!("{count} files were uploaded. Engines look at them now."),
    };
    Ok(go(&Place::new(&to.owner, &asked).url(), &said))
}

/// Returns the path of a file of a form, which may come with the folders it was in.
fn inside(folder: &str, name: &str) -> Option<String> {
    let name = name.trim_matches('/');
    (!name.is_empty()).then(|| format!("{}{name}", folder_of(folder)))
}

/// Passes one file on, through an upload URL: those take files of any size.
async fn put(
    viewer: &Viewer,
    (owner, path): (&str, &str),
    file: Field<'static>,
) -> Result<(), Fault> {
    let ask = format!("/monitor/items/upload_url{}", query([("owner", owner)]));
    let url: Answer<String> = viewer.api.get(&ask).await?;
    let to = url.data.find("/api/v3/").map(|at| &url.data[at..]);
    let to = to.ok_or_else(|| Fault::internal(&"an upload URL leads elsewhere"))?;
    let mark = hex::encode(Sha256::digest(format!("{}{to}", viewer.csrf)));
    let kind = format!("multipart/form-data; boundary={mark}");
    let body = Body::from_stream(form(&mark, path, file));
    order(viewer, to, (&kind, body)).await
}

/// Writes a form with a path and a file.
fn form<F: Stream<Item = Result<Bytes, multer::Error>>>(
    mark: &str,
    path: &str,
    file: F,
) -> impl Stream<Item = Result<Bytes, multer::Error>> + use<F> {
    let before = format!(
        "--{mark}\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n{path}\r\n\
         --{mark}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let after = format!("\r\n--{mark}--\r\n");
    let piece = |text: String| stream::iter([Ok(Bytes::from(text))]);
    piece(before).chain(file).chain(piece(after))
}

async fn order(viewer: &Viewer, to: &str, (kind, body): (&str, Body)) -> Result<(), Fault> {
    let mut request = Request::post(to)
        .body(body)
        .map_err(|error| Fault::internal(&error))?;
    let kind = HeaderValue::from_str(kind).map_err(|error| Fault::internal(&error))?;
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    let response = viewer.api.pass(request).await;
    let status: StatusCode = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = backend::bytes(response).await?;
    Err(backend::failure(status, &body))
}

/// Makes a folder.
///
/// # Errors
/// What the API says.
pub async fn folder(posted: Posted) -> Result<Response, Fault> {
    let name = posted.get("name").trim_matches('/');
    if name.is_empty() {
        return Err(Fault::bad("a folder needs a name"));
    }
    let path = format!("{}{name}/", folder_of(posted.raw("folder")));
    let to = format!(
        "/api/v3/monitor/items{}",
        query([("owner", posted.get("owner"))])
    );
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("path", &path)
        .finish();
    let kind = "application/x-www-form-urlencoded";
    order(&posted.viewer, &to, (kind, Body::from(body))).await?;
    let back = local(posted.get("back")).unwrap_or("/collection");
    Ok(go(back, "The folder is made."))
}

/// Restores one act of the trash.
///
/// # Errors
/// What the API says.
pub async fn restore(posted: Posted) -> Result<Response, Fault> {
    let (owner, act) = (posted.get("owner"), backend::part(posted.get("act")));
    let to = format!("/acquit/trash/{act}/restore{}", query([("owner", owner)]));
    let restored = posted.viewer.api.post(&to, &Value::Null).await?;
    Ok(go(&trash(owner), &counted(&restored, "restored")))
}

/// Empties the trash.
///
/// # Errors
/// What the API says.
pub async fn empty(posted: Posted) -> Result<Response, Fault> {
    let owner = posted.get("owner");
    let to = format!("/acquit/trash{}", query([("owner", owner)]));
    let to = (axum::http::Method::DELETE, &*to);
    let emptied = posted.viewer.api.send(to, &Value::Null).await?;
    Ok(go(&trash(owner), &counted(&emptied, "deleted for good")))
}

fn trash(owner: &str) -> String {
    format!("/collection/trash{}", query([("owner", owner)]))
}

fn counted(answer: &Value, what: &str) -> String {
    match answer["data"]["attributes"]["items_count"].as_u64() {
        Some(1) => format!("1 item was {what}."),
        Some(count) => format!("{count} items were {what}."),
        None => format!("The items were {what}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_keeps_the_folders_it_comes_with() {
        let inside = |name| inside("/in/", name);
        assert_eq!(inside("a.exe").as_deref(), Some("/in/a.exe"));
        assert_eq!(inside("dir/sub/a").as_deref(), Some("/in/dir/sub/a"));
        assert_eq!(inside(""), None);
    }

    #[tokio::test]
    async fn form_is_read_as_it_was_written() {
        let pieces = [
            Ok(Bytes::from_static(b"by")),
            Ok(Bytes::from_static(b"tes\r\n--")),
        ];
        let body = form("m4rk", "/a \"b\"\n/c", stream::iter(pieces));
        let mut read = Multipart::new(body, "m4rk");
        let path = read.next_field().await.unwrap().unwrap();
        assert_eq!(path.name(), Some("path"));
        assert_eq!(path.text().await.unwrap(), "/a \"b\"\n/c");
        let file = read.next_field().await.unwrap().unwrap();
        assert_eq!(file.name(), Some("file"));
        assert_eq!(&*file.bytes().await.unwrap(), b"bytes\r\n--");
        assert!(read.next_field().await.unwrap().is_none());
    }

    #[test]
    fn acts_are_counted() {
        let answer = |count| serde_json::json!({"data": {"attributes": {"items_count": count}}});
        assert_eq!(counted(&answer(1), "restored"), "1 item was restored.");
        assert_eq!(counted(&answer(3), "restored"), "3 items were restored.");
        assert_eq!(
            counted(&Value::Null, "restored"),
            "The items were restored."
        );
    }
}
