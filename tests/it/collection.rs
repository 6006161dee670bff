//! Collections: what is put, found, moved, deleted and brought back, and what a kill leaves of it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod kill;
mod lab;
mod random;
mod removal;

use acquit::flow::collection::{CollectionError, Edit, Looked, Order, OrderBy, Query, Sieve};
use acquit::flow::policy::policy_at;
use acquit::model::{EventKind, Quota, ReleaseCard, SharePolicy, Standing};
use acquit::store::{BLOBS, Change, FOLDERS, STANDINGS, TAGGED};
use lab::{HISTORY, Lab, id, owner, path, sha256};

fn folder(at: &str) -> Query {
    Query {
        folder: Some(path(at)),
        ..Query::default()
    }
}

fn tags(tags: &[&str]) -> Query {
    Query {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..Query::default()
    }
}

async fn tag(lab: &Lab, content: &str, tags: &[&str]) {
    let (sha256, tags) = (sha256(content), tags.iter().map(|&tag| tag.to_owned()));
    let tags: Vec<String> = tags.collect();
    let write = lab.store.write(move |change| {
        for tag in tags {
            change.put(&TAGGED, &(owner(), tag, sha256), &())?;
        }
        Ok(())
    });
    write.await.unwrap();
}

#[tokio::test]
async fn any_name_is_a_name_and_its_folders_come_with_it() {
    let lab = Lab::open().await;
    // The same letter composed and decomposed: two names.
    let names = [
        "/a b/100%/c+d?e#f/\u{1f600}.exe",
        "/a b/100%/c+d?e#f/\u{e4}",
        "/a b/100%/c+d?e#f/a\u{308}",
        "/Д/日本.msi",
        "/q\"\\\n\t'<script>",
    ];
    for name in names {
        lab.put(name, name).await.unwrap();
    }
    for name in names {
        assert_eq!(lab.file(name).sha256, sha256(name), "{name:?}");
        assert_eq!(
            lab.collections.paths(&sha256(name), &owner(), 9).unwrap(),
            [path(name)]
        );
    }
    let below = lab.list(&folder("/a b/100%/c+d?e#f/"), 2).unwrap();
    assert_eq!(below, [names[2], names[1], names[0]]);
    assert_eq!(
        lab.list(&folder("/"), 1).unwrap(),
        ["/a b/", "/q\"\\\n\t'<script>", "/Д/"]
    );
    assert_eq!(lab.list(&folder("/a b"), 9).unwrap(), ["/a b/100%/"]);
    let recursive = Query {
        recursive: true,
        ..folder("/a b/")
    };
    assert_eq!(lab.list(&recursive, 2).unwrap().len(), 5);
    assert_eq!(lab.list(&Query::default(), 3).unwrap().len(), 9);
    lab.recount();
}

#[tokio::test]
async fn empty_collection_is_an_empty_page_and_an_unknown_folder_none() {
    let lab = Lab::open().await;
    assert_eq!(lab.list(&folder("/"), 9).unwrap(), [""; 0]);
    assert_eq!(lab.list(&tags(&["detected"]), 9).unwrap(), [""; 0]);
    let error = lab.list(&folder("/gone/"), 9).unwrap_err();
    assert!(matches!(error, CollectionError::NotFound { .. }), "{error}");
    let nobody = "nobody".parse().unwrap();
    let error = lab.collections.list(&nobody, &folder("/"), (None, 9));
    assert!(matches!(
        error,
        Err(CollectionError::UnknownPublisher { .. })
    ));
}

#[tokio::test]
async fn overwriting_keeps_so_many_contents_and_the_same_content_adds_none() {
    let lab = Lab::open().await;
    for content in ["1", "22", "333", "4444", "55555"] {
        lab.put("/a", content).await.unwrap();
    }
    let put = lab.put("/a", "55555").await.unwrap();
    assert_eq!(put.analysis.id.sha256, sha256("55555"));
    let file = lab.file("/a");
    let past: Vec<_> = file.history.iter().map(|past| past.sha256).collect();
    assert_eq!(past, ["22", "333", "4444"].map(sha256));
    assert_eq!(past.len(), HISTORY);
    let usage = lab.collections.usage(&owner()).unwrap().0;
    assert_eq!((usage.files, usage.bytes), (1, 2 + 3 + 4 + 5));
    assert_eq!((usage.uploaded_files, usage.uploaded_bytes), (6, 20));
    lab.recount();
}

#[tokio::test]
async fn name_is_a_file_or_a_folder_but_not_both() {
    let lab = Lab::open().await;
    lab.put("/a/b", "x").await.unwrap();
    let occupied = |error| matches!(error, CollectionError::Occupied { .. });
    assert!(occupied(lab.put("/a", "y").await.unwrap_err()));
    assert!(occupied(lab.put("/a/b/c", "y").await.unwrap_err()));
    assert!(occupied(lab.make_folder("/a/b/").await.unwrap_err()));
    assert!(occupied(lab.relocate("/a/b", "/a/b").await.unwrap_err()));
    assert!(occupied(lab.copy("/a/b", "/a/").await.unwrap_err()));
    let error = lab.put("/a/c/", "y").await.unwrap_err();
    assert!(
        matches!(error, CollectionError::WrongKind { .. }),
        "{error}"
    );
    let error = lab.relocate("/a/", "/a/d/").await.unwrap_err();
    assert!(
        matches!(error, CollectionError::IntoItself { .. }),
        "{error}"
    );
    assert_eq!(lab.tree().len(), 2);
    lab.recount();
}

#[tokio::test]
async fn quotas_refuse_by_what_is_used_up_and_leave_nothing() {
    let lab = Lab::open().await;
    let quota = Quota {
        bytes: Some(10),
        files: Some(2),
    };
    lab.quota(quota).await;
    lab.put("/a", "12345").await.unwrap();
    let error = lab.put("/b", "123456").await.unwrap_err();
    assert!(matches!(
        error,
        CollectionError::BytesExhausted {
            allowed: 10,
            used: 5,
            wanted: 6
        }
    ));
    assert_eq!(lab.store.get(&BLOBS, &sha256("123456")).unwrap(), None);
    let error = lab.put("/a", "123456").await.unwrap_err();
    assert!(
        matches!(error, CollectionError::BytesExhausted { .. }),
        "{error}"
    );
    lab.put("/b", "1234").await.unwrap();
    let error = lab.copy("/b", "/c").await.unwrap_err();
    assert!(
        matches!(error, CollectionError::FilesExhausted { allowed: 2 }),
        "{error}"
    );
    // What is in the trash still counts.
    let act = lab.delete("/b").await.unwrap();
    assert!(lab.put("/c", "1").await.is_err());
    lab.empty_trash().await;
    lab.put("/c", "1").await.unwrap();
    assert!(matches!(
        lab.restore(act).await,
        Err(CollectionError::NotInTrash { .. })
    ));
    let warned = lab.events().into_iter();
    assert!(
        warned
            .filter(|event| event.kind == EventKind::QuotaReached)
            .count()
            > 0
    );
    lab.recount();
}

#[tokio::test]
async fn tags_find_items_by_content_all_of_them_together() {
    let lab = Lab::open().await;
    for (at, content) in [
        ("/a/1", "x"),
        ("/a/b/2", "x"),
        ("/3", "x"),
        ("/4", "y"),
        ("/5", "z"),
    ] {
        lab.put(at, content).await.unwrap();
    }
    tag(&lab, "x", &["detected", "yara"]).await;
    tag(&lab, "y", &["detected", "clamav"]).await;
    let sorted = |query: &Query| {
        let mut paths = lab.list(query, 1).unwrap();
        paths.sort();
        paths
    };
    assert_eq!(sorted(&tags(&["detected"])), ["/3", "/4", "/a/1", "/a/b/2"]);
    assert_eq!(sorted(&tags(&["detected", "clamav"])), ["/4"]);
    assert_eq!(sorted(&tags(&["yara", "clamav"])), [""; 0]);
    let mut query = tags(&["yara"]);
    query.folder = Some(path("/a/"));
    assert_eq!(sorted(&query), ["/a/1"]);
    query.recursive = true;
    assert_eq!(sorted(&query), ["/a/1", "/a/b/2"]);
}

#[tokio::test]
async fn orders_are_the_same_each_time_and_both_ways() {
    let lab = Lab::open().await;
    for (at, content) in [("/c", "1"), ("/a", "333"), ("/b", "22"), ("/d", "22")] {
        lab.put(at, content).await.unwrap();
    }
    tag(&lab, "333", &["detected"]).await;
    let standing = serde_json::json!({"analysis": null, "at": 0, "answered": 1, "detections":
        {"yara": {"name": "X", "since": 0, "versions": {"image": "i"}}}});
    let standing: Standing = serde_json::from_value(standing).unwrap();
    let write = lab
        .store
        .write(move |change| change.put(&STANDINGS, &sha256("333"), &standing));
    write.await.unwrap();
    let ordered = |by, descending| {
        let order = Order { by, descending };
        lab.list(
            &Query {
                order,
                ..folder("/")
            },
            1,
        )
        .unwrap()
        .concat()
    };
    assert_eq!(ordered(OrderBy::Path, false), "/a/b/c/d");
    assert_eq!(ordered(OrderBy::Path, true), "/d/c/b/a");
    assert_eq!(ordered(OrderBy::Size, false), "/c/b/d/a");
    assert_eq!(ordered(OrderBy::Size, true), "/a/b/d/c");
    assert_eq!(ordered(OrderBy::Modified, false), "/c/a/b/d");
    assert_eq!(ordered(OrderBy::Modified, true), "/d/b/a/c");
    assert_eq!(ordered(OrderBy::Detections, false), "/b/c/d/a");
    assert_eq!(ordered(OrderBy::Detections, true), "/a/b/c/d");
}

#[tokio::test]
async fn moved_item_keeps_all_that_is_said_of_it() {
    let lab = Lab::open().await;
    lab.put("/in/a", "old").await.unwrap();
    lab.put("/in/a", "new").await.unwrap();
    let edit = Edit {
        details: Some(Some("a driver".to_owned())),
        card: Some(ReleaseCard {
            product: Some("P".to_owned()),
            ..ReleaseCard::default()
        }),
        policy: Some(Some(SharePolicy::Never)),
    };
    let edited = lab.collections.edit(id("/in/a"), edit.clone(), lab.actor());
    let edited = edited.await.unwrap();
    assert_eq!(lab.relocate("/in/a", "/out/b").await.unwrap(), edited);
    assert_eq!(lab.relocate("/out/b", "/in/").await.unwrap(), edited);
    assert_eq!(lab.item("/in/b"), edited);
    assert_eq!(edited.file.unwrap().history.len(), 1);
    let error = lab.collections.edit(id("/in/"), edit, lab.actor()).await;
    assert!(matches!(error, Err(CollectionError::WrongKind { .. })));
    let events = lab.events().into_iter();
    let policy = events.filter(|event| event.kind == EventKind::PolicyChanged);
    let policy: Vec<_> = policy.map(|event| event.details).collect();
    assert_eq!(policy.len(), 1);
    assert_eq!(policy[0]["before"], "metadata-only");
    assert_eq!(policy[0]["after"], "never");
    lab.recount();
}

#[tokio::test]
async fn collection_itself_has_the_publishers_card_and_policy() {
    let lab = Lab::open().await;
    let edit = Edit {
        policy: Some(Some(SharePolicy::File)),
        ..Edit::default()
    };
    lab.collections
        .edit(id("/"), edit, lab.actor())
        .await
        .unwrap();
    assert_eq!(lab.item("/").policy, Some(SharePolicy::File));
    lab.put("/a", "x").await.unwrap();
    let said = policy_at(&lab.store, &owner(), &path("/a")).unwrap();
    assert_eq!((said.policy, said.at), (SharePolicy::File, path("/")));
    assert!(matches!(
        lab.delete("/").await,
        Err(CollectionError::Invalid(_))
    ));
}

#[tokio::test]
async fn restored_item_is_where_it_was_or_nowhere() {
    let lab = Lab::open().await;
    lab.put("/a/b/1", "x").await.unwrap();
    lab.put("/a/b/2", "y").await.unwrap();
    let before = lab.tree();
    let act = lab.delete("/a/b/").await.unwrap();
    assert_eq!(lab.tree().len(), 1);
    lab.put("/a/b", "in the way").await.unwrap();
    let error = lab.restore(act).await.unwrap_err();
    assert!(matches!(error, CollectionError::Occupied { .. }), "{error}");
    assert_eq!(lab.tree().len(), 2);
    lab.delete("/a/").await.unwrap();
    assert_eq!(lab.restore(act).await.unwrap(), 3);
    assert_eq!(lab.tree(), before);
    lab.recount();
}

#[tokio::test]
async fn restored_item_is_not_shown_to_vendors_more_than_before() {
    let lab = Lab::open().await;
    lab.put("/secret/a", "x").await.unwrap();
    let edit = Edit {
        policy: Some(Some(SharePolicy::Never)),
        ..Edit::default()
    };
    lab.collections
        .edit(id("/secret/"), edit, lab.actor())
        .await
        .unwrap();
    let act = lab.delete("/secret/a").await.unwrap();
    lab.delete("/secret/").await.unwrap();
    lab.restore(act).await.unwrap();
    let said = policy_at(&lab.store, &owner(), &path("/secret/a")).unwrap();
    assert_eq!(said.policy, SharePolicy::Never);
    lab.recount();
}

#[tokio::test]
async fn old_trash_goes_by_itself_and_takes_the_grant_along() {
    let lab = Lab::open().await;
    lab.put("/a", "x").await.unwrap();
    lab.delete("/a").await.unwrap();
    let now = lab.actor().now;
    assert_eq!(lab.collections.empty_old_trash(now).await.unwrap(), 0);
    let later = now.after(std::time::Duration::from_secs(31 * 86_400));
    assert_eq!(lab.collections.empty_old_trash(later).await.unwrap(), 1);
    let trash = lab.collections.trash(&owner(), (None, 9)).unwrap();
    assert_eq!(trash.rows, []);
    lab.recount();
}

#[tokio::test]
async fn folders_are_found_by_their_index_as_without_it() {
    let lab = Lab::open().await;
    for at in ["/a/b/c.bin", "/a/d.bin", "/a/e/f/g.bin"] {
        lab.put(at, at).await.unwrap();
    }
    lab.make_folder("/a/empty").await.unwrap();
    let query = |at: &str, recursive, descending| Query {
        recursive,
        sieve: Sieve {
            states: [Looked::Folder].into(),
            ..Sieve::default()
        },
        order: Order {
            descending,
            ..Order::default()
        },
        ..folder(at)
    };
    let seen = || {
        let seen = [
            ("/a/", false, false),
            ("/a/", false, true),
            ("/", true, false),
        ];
        seen.map(|(at, recursive, down)| lab.list(&query(at, recursive, down), 2).unwrap())
    };
    let expected = seen();
    assert_eq!(expected[0], ["/a/b/", "/a/e/", "/a/empty/"]);
    assert_eq!(expected[2].len(), 5);
    // As the version before left it.
    let all = lab.store.keys(&FOLDERS, (&[], None), 10).unwrap().rows;
    let forget = move |change: &mut Change<'_>| {
        all.iter().for_each(|key| change.remove(&FOLDERS, key));
        Ok(())
    };
    lab.store.write(forget).await.unwrap();
    assert_eq!(seen(), expected);
    lab.collections.index_folders().await.unwrap();
    assert_eq!(seen(), expected);
    lab.recount();
    // It is the index that is asked.
    let lose = |change: &mut Change<'_>| {
        change.remove(&FOLDERS, &(owner(), path("/a/e/")));
        Ok(())
    };
    lab.store.write(lose).await.unwrap();
    assert_eq!(seen()[0], ["/a/b/", "/a/empty/"]);
}
