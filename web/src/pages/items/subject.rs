//! What an item's page and a file's page are of: the file, its item if it is asked by that, and
//! what the engines said last.

use std::collections::BTreeSet;

use tokio::try_join;

use super::place::Place;
use super::verdict::{Engines, Row, Summary, by_id, is_opinion, rows};
use super::wire::{AnalysisAttributes, Answers, EngineBrief, FileAttributes, ItemAttributes};
use crate::backend::{Answer, Listing, Object, part};
use crate::coverage::Coverage;
use crate::fault::Fault;
use crate::session::Viewer;
use crate::text;

/// A file as it is shown, with its place in a collection if it is asked by that.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it is shown.
    pub url: String,
    /// What it is called.
    pub name: String,
    /// Its place and what is known of it there.
    pub item: Option<(Place, ItemAttributes)>,
    /// The file.
    pub file: FileAttributes,
    /// Its analyses, newest first.
    pub analyses: Vec<Object<AnalysisAttributes>>,
    /// Engines by their ids.
    pub engines: Engines,
}

impl Subject {
    /// Reads the item of an id. A folder has no page of its own here: nothing.
    ///
    /// # Errors
    /// What the API says.
    pub async fn item(viewer: &Viewer, id: &str) -> Result<(Place, Option<Self>), Fault> {
        let item: Answer<Object<ItemAttributes>> = viewer
            .api
            .get(&format!("/monitor/items/{}", part(id)))
            .await?;
        let Object { id, attributes, .. } = item.data;
        let missing = || Fault::missing("the item");
        let place = Place::of(&id).ok_or_else(missing)?;
        if attributes.item_type == "folder" {
            return Ok((place, None));
        }
        let sha256 = attributes.sha256.clone();
        let item = Some((place.clone(), attributes));
        let subject = Self::read(viewer, (place.url(), &sha256), item).await?;
        Ok((place, Some(subject)))
    }

    /// Reads the file of a hash.
    ///
    /// # Errors
    /// What the API says.
    pub async fn file(viewer: &Viewer, hash: &str) -> Result<Self, Fault> {
        let url = format!("/files/{}", part(hash));
        Self::read(viewer, (url, hash), None).await
    }

    async fn read(
        viewer: &Viewer,
        (url, hash): (String, &str),
        item: Option<(Place, ItemAttributes)>,
    ) -> Result<Self, Fault> {
        let at = format!("/files/{}", part(hash));
        let analyses = format!("{at}/analyses?limit=40");
        let api = &viewer.api;
        let (file, analyses, engines) = try_join!(
            api.get::<Answer<Object<FileAttributes>>>(&at),
            api.get::<Listing<Object<AnalysisAttributes>>>(&analyses),
            api.get::<Listing<Object<EngineBrief>>>("/acquit/engines"),
        )?;
        let file = file.data.attributes;
        let name = match &item {
            Some((place, _)) => place.name().to_owned(),
            None => file.names.first().unwrap_or(&file.sha256).clone(),
        };
        Ok(Self {
            url,
            name,
            item,
            file,
            analyses: analyses.data,
            engines: by_id(engines.data),
        })
    }

    /// Tells whether a publisher vouches for the file: a detection is an objection then.
    pub fn is_vouched(&self) -> bool {
        self.item.is_some() || self.file.known_distributors.is_some()
    }

    /// Returns the analysis under way, if there is one.
    pub fn running(&self) -> Option<Progress> {
        let newest = self.analyses.first();
        let newest = newest.filter(|it| !it.attributes.is_complete())?;
        Some(Progress::of(&newest.attributes))
    }

    /// Returns what the engines say, or nothing if the file was never analyzed.
    pub fn summary(&self) -> Option<Summary> {
        self.file.last_analysis_date?;
        let seen = self.rows().iter().filter(|row| row.is_detection()).count();
        let standing = self
            .item
            .as_ref()
            .and_then(|(_, item)| item.last_detections_count);
        let detections = standing.unwrap_or(0).max(seen as u64);
        Some(Summary::new(detections, self.coverage(), self.is_vouched()))
    }

    fn coverage(&self) -> Coverage {
        self.file.coverage
    }

    /// Returns what each engine says.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = rows(&self.file.last_analysis_results, &self.engines);
        for row in &mut rows {
            // An engine that did not even start has printed nothing.
            row.raw = self.raw(&row.engine).filter(|_| row.answer.duration_ms > 0);
            row.stands = !is_opinion(&row.answer.category) && self.is_standing(row);
        }
        super::verdict::sort(&mut rows);
        rows
    }

    /// Tells whether an engine that did not answer is on record as detecting the item.
    fn is_standing(&self, row: &Row) -> bool {
        let tags: Option<&BTreeSet<String>> = self.item.as_ref().map(|(_, item)| &item.tags);
        tags.is_some_and(|tags| tags.contains(&row.answer.engine_name))
    }

    /// Returns where what an engine printed last is: in the newest analysis it answered in.
    fn raw(&self, engine: &str) -> Option<String> {
        let answered = |results: &Answers| results.values().any(|it| it.engine_id == engine);
        let mut analyses = self.analyses.iter();
        let analysis = analyses.find(|it| answered(&it.attributes.results))?;
        Some(format!(
            "/acquit/analyses/{}/raw/{}",
            part(&analysis.id),
            part(engine)
        ))
    }

    /// Returns where the bytes are, below our scripts' API.
    pub fn download_url(&self) -> String {
        match &self.item {
            Some((place, _)) => format!("/ui/api/monitor/items/{}/download", part(&place.id())),
            None => format!("/ui/api/files/{}/download", part(&self.file.sha256)),
        }
    }

    /// Returns what kind of file it is, in words.
    pub fn kind(&self) -> String {
        let size = text::bytes(&self.file.size);
        match &self.file.type_tag {
            Some(tag) => format!("{tag}, {size}"),
            None => size,
        }
    }
}

/// How far an analysis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Engines whose answer, or failure, is there.
    pub done: u64,
    /// Engines that were asked.
    pub asked: u64,
}

impl Progress {
    /// Returns how far an analysis is.
    pub fn of(analysis: &AnalysisAttributes) -> Self {
        Self {
            done: analysis.results.len() as u64,
            asked: analysis.coverage.enabled,
        }
    }
}
