//! What somebody wants a vendor to be told, and in which words.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::view::object;
use super::{DisputeAnswer, Ordered, disputes, doer, own};
use crate::flow::dispute::{DisputeError, Kin, Order, Wish, Words};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base};
use crate::http::error::{ApiError, ErrorBody};

/// What a vendor is to be told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderAttributes {
    /// Number of the incident.
    pub incident: u64,
    /// `policy`, which is the default, `with` or `without`.
    #[serde(default)]
    file: FileWish,
    /// Entry of the directory of vendors; that of the engine if absent.
    #[serde(default)]
    vendor: Option<String>,
    /// Whether it is sent at once where the vendor takes mail.
    #[serde(default)]
    send: bool,
    /// Whether it is this engine's alone, though engines that share its signatures have one.
    #[serde(default)]
    apart: bool,
    /// Its subject, if it is not Acquit's: one line of up to 300 characters.
    #[serde(default)]
    subject: Option<String>,
    /// Its text, if it is not Acquit's: up to 10000 characters. What is in `facts` of the preview
    /// follows in any case.
    #[serde(default)]
    words: Option<String>,
}

/// Whether the file goes with it.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileWish {
    /// As far as the policy lets it.
    #[default]
    Policy,
    /// Ordered, which is the consent where the policy asks for one.
    With,
    /// Not this time.
    Without,
}

impl OrderAttributes {
    /// Returns the order.
    ///
    /// # Errors
    /// If what is to be said cannot be sent.
    pub fn order(self) -> Result<Order, DisputeError> {
        Ok(Order {
            incident: self.incident,
            file: match self.file {
                FileWish::Policy => Wish::Policy,
                FileWish::With => Wish::With,
                FileWish::Without => Wish::Without,
            },
            words: Words::read(self.subject.as_deref(), self.words.as_deref())?,
            vendor: self.vendor,
            send: self.send,
            kin: match self.apart {
                true => Kin::Apart,
                false => Kin::Together,
            },
        })
    }
}

/// What a prepared dispute is to say; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordsAttributes {
    /// Its subject: one line of up to 300 characters.
    #[serde(default)]
    subject: Option<String>,
    /// Its text before the facts: up to 10000 characters.
    #[serde(default)]
    words: Option<String>,
    /// The revision that was looked at; refused if there is a newer one.
    #[serde(default)]
    revision: Option<u32>,
}

/// Which words are let leave.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeenQuery {
    /// The revision that was looked at; refused if there is a newer one.
    pub revision: Option<u32>,
}

/// Puts a prepared dispute in other words.
#[utoipa::path(
    patch, path = "/api/v3/acquit/disputes/{id}", tag = "disputes", params(("id" = u64, Path)),
    request_body = Ordered<WordsAttributes>,
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn reword(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    Json(body): Json<Ordered<WordsAttributes>>,
) -> Result<DisputeAnswer, ApiError> {
    let id = own(&app, &caller, &id)?;
    let said = body.data.attributes;
    if said.subject.is_none() && said.words.is_none() {
        return Err(ApiError::invalid_argument("give a subject, or words"));
    }
    let words = Words::read(said.subject.as_deref(), said.words.as_deref())?;
    let seen = (id, said.revision);
    let dispute = disputes(&app).reword(seen, words, doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}
