//! Acts on folders too large for one change, cut off at each step.

use std::collections::BTreeMap;

use acquit::flow::collection::CollectionError;
use acquit::model::{Quota, Sha256};
use acquit::store::TREE_ACTS;

use super::lab::{Lab, id, owner, path};

type Tree = BTreeMap<String, Option<Sha256>>;

/// A folder of more than a thousand items, some in folders in it: copies of few files.
async fn large(lab: &Lab) {
    for number in 0..20 {
        let at = format!("/x/s{}/f{number}", number % 3);
        lab.put(&at, &format!("content {number}")).await.unwrap();
    }
    for number in 0..60 {
        lab.copy("/x/", &format!("/large/{number}/")).await.unwrap();
    }
    assert!(lab.tree().len() > 1400);
}

/// Renames what is in one folder as if it were in another.
fn moved(tree: &Tree, from: &str, to: &str) -> Tree {
    let at = |path: &String| match path.strip_prefix(from) {
        Some(rest) => format!("{to}{rest}"),
        None => path.clone(),
    };
    tree.iter().map(|(path, file)| (at(path), *file)).collect()
}

fn without(tree: &Tree, folder: &str) -> Tree {
    let kept = tree.iter().filter(|(path, _)| !path.starts_with(folder));
    kept.map(|(path, file)| (path.clone(), *file)).collect()
}

fn acts(lab: &Lab) -> usize {
    lab.store
        .list(&TREE_ACTS, (&[], None), 10)
        .unwrap()
        .rows
        .len()
}

/// Opens the collection again after a kill, goes on, and checks what is there then.
async fn resumed(lab: Lab, expected: &Tree) -> Lab {
    let lab = lab.kill();
    lab.collections.resume().await.unwrap();
    assert_eq!(&lab.tree(), expected);
    lab.recount();
    lab
}

#[tokio::test]
async fn large_acts_that_are_cut_off_are_done_after_a_kill() {
    let mut lab = Lab::open().await;
    large(&lab).await;
    let before = lab.tree();
    let mut unfinished = 0;
    for polls in 1..5 {
        let _ = Lab::cut(lab.relocate("/large/", "/else/"), polls).await;
        unfinished += acts(&lab);
        let there = moved(&before, "/large/", "/else/");
        lab = resumed(lab, &there).await;

        let _ = Lab::cut(lab.delete("/else/"), polls).await;
        unfinished += acts(&lab);
        lab = resumed(lab, &without(&there, "/else/")).await;
        let trash = lab.collections.trash(&owner(), (None, 1)).unwrap().rows;

        let _ = Lab::cut(lab.restore(trash[0].1.act), polls).await;
        unfinished += acts(&lab);
        lab = resumed(lab, &there).await;

        let _ = Lab::cut(lab.copy("/else/", "/large/"), polls).await;
        unfinished += acts(&lab);
        let mut both = there.clone();
        both.extend(before.clone());
        lab = resumed(lab, &both).await;

        lab.delete("/else/").await.unwrap();
        let _ = Lab::cut(lab.empty_trash(), polls).await;
        unfinished += acts(&lab);
        lab = resumed(lab, &before).await;
        // What was written down is gone for good; what was not begun can still be begun.
        lab.empty_trash().await;
        assert_eq!(lab.collections.trash(&owner(), (None, 1)).unwrap().rows, []);
        lab.recount();
    }
    assert!(
        unfinished > 5,
        "only {unfinished} acts were cut off in the middle"
    );
}

#[tokio::test]
async fn what_an_act_is_about_cannot_be_touched_until_it_is_done() {
    let lab = Lab::open().await;
    large(&lab).await;
    assert!(
        Lab::cut(lab.relocate("/large/", "/a/else/"), 2)
            .await
            .is_none()
    );
    // The writer may still be at it.
    while acts(&lab) == 0 {
        tokio::task::yield_now().await;
    }
    let busy = |error| matches!(error, CollectionError::Busy { .. });
    assert!(busy(lab.put("/large/1/new", "x").await.unwrap_err()));
    assert!(busy(lab.put("/a/else", "x").await.unwrap_err()));
    assert!(busy(lab.make_folder("/a/else/new/").await.unwrap_err()));
    assert!(busy(lab.delete("/a/").await.unwrap_err()));
    assert!(busy(lab.relocate("/x/", "/large/1/x/").await.unwrap_err()));
    assert!(busy(lab.copy("/large/", "/b/").await.unwrap_err()));
    lab.put("/x/new", "x").await.unwrap();
    lab.collections.resume().await.unwrap();
    lab.put("/a/else/1/new", "x").await.unwrap();
    assert!(lab.collections.get(&id("/large/")).unwrap().is_none());
    lab.recount();
}

#[tokio::test]
async fn large_copy_that_does_not_fit_leaves_nothing() {
    let lab = Lab::open().await;
    large(&lab).await;
    let before = lab.tree();
    lab.quota(Quota {
        bytes: None,
        files: Some(1500),
    })
    .await;
    let error = lab.copy("/large/", "/b/c/").await.unwrap_err();
    assert!(
        matches!(error, CollectionError::FilesExhausted { .. }),
        "{error}"
    );
    assert_eq!(lab.tree(), before);
    lab.recount();
    lab.quota(Quota::default()).await;
    lab.copy("/large/", "/b/c/").await.unwrap();
    assert_eq!(
        lab.collections.get(&id("/b/c/")).unwrap().unwrap().file,
        None
    );
    lab.recount();
}

#[tokio::test]
async fn folder_whose_paths_would_become_too_long_stays() {
    let lab = Lab::open().await;
    large(&lab).await;
    let before = lab.tree();
    let name = "n".repeat(1000);
    let deep = format!("/{name}/{name}/{name}/{name}/{}/", "m".repeat(88));
    assert!(path(&deep).as_str().len() < 4096);
    for from in ["/large/", "/x/"] {
        let error = lab.relocate(from, &deep).await.unwrap_err();
        assert!(matches!(error, CollectionError::Path(_)), "{error}");
    }
    assert_eq!(lab.tree(), before);
    lab.recount();
}
