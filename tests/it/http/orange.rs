//! Whose software a file is, told to whoever scans it, as far as its publisher lets others know.

use acquit::flow::facts::{Field, Source, card};
use acquit::model::{
    FileFacts, Item, ItemFile, ItemPath, Profile, Publisher, PublisherId, Quota, ReleaseCard,
    Sha256, SharePolicy, Timestamp, Verdict,
};
use acquit::store::{BLOB_ITEMS, FACTS, HOLDERS, HoldRow, ITEMS, PUBLISHERS, Store};
use serde_json::{Value, json};

use super::appliance::{Appliance, answer, malicious};

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn acme() -> PublisherId {
    "acme".parse().unwrap()
}

fn publisher(policy: SharePolicy) -> Publisher {
    Publisher {
        id: acme(),
        name: "Acme Software".to_owned(),
        created_at: AT,
        emails: Vec::new(),
        policy,
        quota: Quota::default(),
        profile: Profile::default(),
        card: ReleaseCard {
            company: Some("Acme Software GmbH".to_owned()),
            ..ReleaseCard::default()
        },
    }
}

fn item(card: ReleaseCard) -> Item {
    Item {
        created_at: AT,
        modified_at: AT,
        creator: "somebody".to_owned(),
        file: None,
        details: None,
        card: Some(Box::new(card)),
        policy: None,
    }
}

/// Puts a blob into Acme's collection, in a folder of which the product is stated.
async fn collect(store: &Store, sha256: Sha256, policy: SharePolicy) {
    let folder: ItemPath = "/writer/".parse().unwrap();
    let path: ItemPath = "/writer/setup.exe".parse().unwrap();
    let product = ReleaseCard {
        product: Some("Acme Writer".to_owned()),
        homepage: Some("https://acme.example/".to_owned()),
        ..ReleaseCard::default()
    };
    let mut file = item(ReleaseCard::default());
    file.file = Some(ItemFile {
        sha256,
        size_bytes: 5,
        history: Vec::new(),
    });
    let write = store.write(move |change| {
        let hold = HoldRow {
            items: 1,
            since: AT,
        };
        change.put(&PUBLISHERS, &acme(), &publisher(policy))?;
        change.put(&ITEMS, &(acme(), folder), &item(product))?;
        change.put(&ITEMS, &(acme(), path.clone()), &file)?;
        change.put(&BLOB_ITEMS, &(sha256, acme(), path), &())?;
        change.put(&HOLDERS, &(sha256, acme()), &hold)
    });
    write.await.unwrap();
}

/// Scans a file that Acme holds under a policy; ClamAV detects it.
async fn scanned(policy: SharePolicy) -> (Appliance, String, Sha256) {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.exe", b"known").await;
    let sha256: Sha256 = id.split('-').nth(1).unwrap().parse().unwrap();
    collect(&appliance.store, sha256, policy).await;
    appliance.answer("clamav", malicious("Win.False")).await;
    appliance.answer("yara", Verdict::Undetected).await;
    appliance.settle().await;
    (appliance, id, sha256)
}

#[tokio::test]
async fn detection_in_known_software_is_disputed() {
    let (appliance, id, sha256) = scanned(SharePolicy::MetadataOnly).await;
    let (_, analysis) = answer(appliance.get(&format!("/analyses/{id}"))).await;
    let (_, file) = answer(appliance.get(&format!("/files/{sha256}"))).await;
    let (analysis, file) = (&analysis["data"]["attributes"], &file["data"]["attributes"]);
    let known = json!({
        "distributors": ["Acme Software"],
        "filenames": [],
        "products": ["Acme Writer"],
        "links": [],
        "data_sources": ["Acquit"],
    });
    assert_eq!(analysis["known_distributors"], known);
    assert_eq!(file["known_distributors"], known);
    assert_eq!(file["tags"], json!(["known-distributor"]));
    let shown = [
        (&analysis["stats"], &analysis["results"]),
        (&file["last_analysis_stats"], &file["last_analysis_results"]),
    ];
    for (stats, results) in shown {
        assert_eq!(stats["disputed"], 1);
        assert_eq!(stats["malicious"], 1);
        assert_eq!(results["ClamAV"]["disputed"], true);
        assert_eq!(results["ClamAV"]["category"], "malicious");
        assert_eq!(results["YARA"].get("disputed"), None);
    }
}

#[tokio::test]
async fn who_sees_the_collection_is_told_names_and_links_too() {
    let (appliance, _, sha256) = scanned(SharePolicy::Never).await;
    let admin = appliance
        .admin()
        .get(appliance.api(&format!("/files/{sha256}")));
    let (_, file) = answer(admin).await;
    let known = &file["data"]["attributes"]["known_distributors"];
    assert_eq!(known["filenames"], json!(["setup.exe"]));
    assert_eq!(known["links"], json!(["https://acme.example/"]));
}

#[tokio::test]
async fn software_that_is_never_shared_is_not_known_to_others() {
    let (appliance, id, sha256) = scanned(SharePolicy::Never).await;
    for path in [format!("/analyses/{id}"), format!("/files/{sha256}")] {
        let (_, body) = answer(appliance.get(&path)).await;
        let body: Value = body;
        let text = body.to_string();
        assert!(text.contains("Win.False"), "{text}");
        assert!(!text.contains("disputed"), "{text}");
        assert!(!text.contains("distributor"), "{text}");
        assert!(!text.contains("Acme"), "{text}");
    }
}

#[tokio::test]
async fn card_says_who_states_what_and_what_only_the_file_says() {
    let (appliance, _, sha256) = scanned(SharePolicy::MetadataOnly).await;
    let facts = FileFacts {
        product: Some("Writer, says the file".to_owned()),
        version: Some("3.2".to_owned()),
        ..FileFacts::default()
    };
    let write = appliance
        .store
        .write(move |change| change.put(&FACTS, &sha256, &facts));
    write.await.unwrap();
    let path = "/writer/setup.exe".parse().unwrap();
    let fields = card(&appliance.store, &acme(), &path).unwrap();
    let field = |name: &str, value: &str, source| Field {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
    };
    let stated = |at: &str| Source::Stated {
        at: at.parse().unwrap(),
    };
    let expected = [
        field("product", "Acme Writer", stated("/writer/")),
        field("homepage", "https://acme.example/", stated("/writer/")),
        field("company", "Acme Software GmbH", stated("/")),
        field("version", "3.2", Source::FromFile),
    ];
    assert_eq!(fields, expected);
}
