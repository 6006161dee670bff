//! `GET /acquit/items/{folder}/archive`: a folder and all in it as one ZIP file.
//!
//! It is written while it is read. Each file is in the ledger before its first byte is in the
//! archive, as if it were downloaded by itself.

use std::io::{self, BufReader, BufWriter, Write};
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::super::auth::Caller;
use super::super::egress::{self, Parting};
use super::super::error::ApiError;
use super::super::written::{self, Outlet};
use super::super::{App, download};
use super::address::check_bytes;
use super::item::parting;
use crate::flow::collection::Query;
use crate::model::{Item, ItemFile, ItemId, ItemPath, Timestamp};

/// Items read at a time.
const STEP: usize = 100;
/// Bytes sent, and read of a file, at a time.
const BLOCK: usize = 64 << 10;
/// Software is mostly packed already: more than the quickest level gains little.
const LEVEL: i64 = 1;

type Zip = ZipWriter<StreamWriter<BufWriter<Outlet>>>;

/// Sends a folder as one file.
///
/// # Errors
/// If it is a file, if the caller may not have its bytes, or if too many are sent already.
pub fn send(
    app: &Arc<App>,
    caller: &Caller,
    (id, method): (ItemId, &Method),
) -> Result<Response, ApiError> {
    check_bytes(caller, &id)?;
    if !id.path.is_folder() {
        let message = "only folders are sent as an archive; a file has /download";
        return Err(ApiError::invalid_argument(message));
    }
    let name = top(&id).to_owned();
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => packed(written::place(app)?, Packer::new(app, caller, id)),
    };
    let mut response = (download::attachment("folder.zip"), body).into_response();
    let kind = HeaderValue::from_static("application/zip");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    download::name(&mut response, &format!("{name}.zip"));
    Ok(response)
}

/// Returns what the folder is called that all in the archive is in.
fn top(id: &ItemId) -> &str {
    match id.path.is_root() {
        true => id.publisher.as_str(),
        false => id.path.name(),
    }
}

fn packed(place: OwnedSemaphorePermit, packer: Packer) -> Body {
    written::body(place, move |outlet| {
        if let Err(error) = packer.pack(outlet.clone()) {
            outlet.cut_off(&format_args!("{error:#}"));
        }
    })
}

/// Packs a folder.
struct Packer {
    app: Arc<App>,
    caller: Caller,
    folder: ItemId,
    runtime: Handle,
}

impl Packer {
    fn new(app: &Arc<App>, caller: &Caller, folder: ItemId) -> Self {
        Self {
            app: Arc::clone(app),
            caller: caller.clone(),
            folder,
            runtime: Handle::current(),
        }
    }

    /// Writes all of it. Blocks.
    fn pack(&self, outlet: Outlet) -> anyhow::Result<()> {
        let mut zip = ZipWriter::new_stream(BufWriter::with_capacity(BLOCK, outlet));
        let wanted = Query {
            folder: Some(self.folder.path.clone()),
            recursive: true,
            ..Query::default()
        };
        let (publisher, mut cursor) = (&self.folder.publisher, None);
        loop {
            let span = (cursor.as_deref(), STEP);
            let page = self.app.api.collections.list(publisher, &wanted, span)?;
            for (path, item) in page.rows {
                ensure!(!self.app.shutdown.is_cancelled(), "the daemon is ending");
                self.add(&mut zip, path, item)?;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(zip.finish()?.into_inner().flush()?)
    }

    fn add(&self, zip: &mut Zip, path: ItemPath, item: Item) -> anyhow::Result<()> {
        let options = options(item.modified_at);
        let Some(file) = &item.file else {
            return Ok(zip.add_directory(self.name(&path), options)?);
        };
        let name = self.name(&path);
        let publisher = self.folder.publisher.clone();
        let parting = parting(&self.caller, (&ItemId { publisher, path }, &item))?;
        self.copy((zip, options), (name, file), parting)
    }

    fn copy(
        &self,
        (zip, options): (&mut Zip, SimpleFileOptions),
        (name, file): (String, &ItemFile),
        parting: Parting,
    ) -> anyhow::Result<()> {
        let blob = self.app.api.store.blobs().open_blob(&file.sha256);
        let blob = blob.with_context(|| format!("{name:?} is not there any more"))?;
        let size = blob.metadata()?.len();
        self.runtime
            .block_on(egress::note(&self.app, parting, size))?;
        let options = options.large_file(size >= u64::from(u32::MAX));
        zip.start_file(name, options)?;
        io::copy(&mut BufReader::with_capacity(BLOCK, blob), zip)?;
        Ok(())
    }

    /// Returns the name an item has in the archive. What separates folders elsewhere does not here.
    fn name(&self, path: &ItemPath) -> String {
        let below = path.as_str();
        let below = below.strip_prefix(self.folder.path.as_str());
        let name = format!("{}/{}", top(&self.folder), below.unwrap_or_default());
        name.replace('\\', "%5C")
    }
}

fn options(modified: Timestamp) -> SimpleFileOptions {
    let at = i64::try_from(modified.seconds()).unwrap_or(0);
    let at = jiff::Timestamp::from_second(at).unwrap_or_default();
    let at = DateTime::try_from(at.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(at.unwrap_or_default())
}
