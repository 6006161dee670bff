//! Random acts, compared with what a simple model says is there.

use std::collections::BTreeMap;

use acquit::model::Sha256;
use proptest::prelude::*;

use super::lab::{Lab, sha256};

/// Paths and contents; nothing for a folder.
type Tree = BTreeMap<String, Option<Sha256>>;

#[derive(Clone, Debug)]
enum Act {
    Put(String, u8),
    MakeFolder(String),
    Move(String, String),
    Copy(String, String),
    Delete(String),
    Restore(usize),
    Empty,
    Kill,
}

/// What is there, and what was deleted in which act.
#[derive(Default)]
struct Model {
    tree: Tree,
    trash: BTreeMap<u64, (String, Tree)>,
}

impl Model {
    fn above(path: &str) -> Vec<String> {
        let inner = path.strip_suffix('/').unwrap_or(path);
        let slashes = inner.match_indices('/').map(|(at, _)| at);
        slashes
            .filter(|at| *at > 0)
            .map(|at| path[..=at].to_owned())
            .collect()
    }

    /// Tells whether something can be at a path where nothing is now.
    fn is_free(&self, path: &str) -> bool {
        let bare = path.trim_end_matches('/');
        let is_there = |path: &str| self.tree.contains_key(path);
        let mut above = Self::above(path).into_iter();
        let blocked = above.any(|folder| is_there(folder.trim_end_matches('/')));
        !is_there(bare) && !is_there(&format!("{bare}/")) && !blocked
    }

    fn add(&mut self, path: &str, content: Option<Sha256>) {
        for folder in Self::above(path) {
            self.tree.insert(folder, None);
        }
        self.tree.insert(path.to_owned(), content);
    }

    /// Returns what is at a path and below it.
    fn at(&self, path: &str) -> Tree {
        let inside = |at: &str| at == path || path.ends_with('/') && at.starts_with(path);
        let rows = self.tree.iter().filter(|(at, _)| inside(at));
        rows.map(|(at, content)| (at.clone(), *content)).collect()
    }

    fn transfer(&mut self, from: &str, to: &str) -> Option<Tree> {
        let tree = self.at(from);
        let to = match (from.ends_with('/'), to.ends_with('/')) {
            (true, _) => format!("{}/", to.trim_end_matches('/')),
            (false, true) => format!("{to}{}", from.rsplit('/').next()?),
            (false, false) => to.to_owned(),
        };
        let within = from.ends_with('/') && to.starts_with(from);
        if tree.is_empty() || within || !self.is_free(&to) {
            return None;
        }
        for (path, content) in &tree {
            self.add(&format!("{to}{}", &path[from.len()..]), *content);
        }
        Some(tree)
    }

    fn remove(&mut self, tree: &Tree) {
        self.tree.retain(|path, _| !tree.contains_key(path));
    }
}

/// Few paths, so that acts meet.
fn any_path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "a b", "\u{e4}", "a\u{308}", "%2F+?#"]);
    let names = prop::collection::vec(name, 1..=4);
    (names, any::<bool>()).prop_map(|(names, is_folder)| {
        let end = if is_folder { "/" } else { "" };
        format!("/{}{end}", names.join("/"))
    })
}

fn any_act() -> impl Strategy<Value = Act> {
    let file = any_path().prop_map(|path| path.trim_end_matches('/').to_owned());
    prop_oneof![
        6 => (file, 0..4_u8).prop_map(|(path, content)| Act::Put(path, content)),
        1 => any_path().prop_map(Act::MakeFolder),
        4 => (any_path(), any_path()).prop_map(|(from, to)| Act::Move(from, to)),
        3 => (any_path(), any_path()).prop_map(|(from, to)| Act::Copy(from, to)),
        3 => any_path().prop_map(Act::Delete),
        3 => (0..4_usize).prop_map(Act::Restore),
        1 => Just(Act::Empty),
        1 => Just(Act::Kill),
    ]
}

async fn act(lab: Lab, model: &mut Model, act: Act) -> Lab {
    match act {
        Act::Put(path, content) => {
            let content = format!("content {content}");
            let overwrites = model.tree.contains_key(&path);
            let expected = overwrites || model.is_free(&path);
            assert_eq!(lab.put(&path, &content).await.is_ok(), expected, "{path}");
            if expected {
                model.add(&path, Some(sha256(&content)));
            }
        }
        Act::MakeFolder(path) => {
            let path = format!("{}/", path.trim_end_matches('/'));
            let expected = model.tree.contains_key(&path) || model.is_free(&path);
            assert_eq!(lab.make_folder(&path).await.is_ok(), expected, "{path}");
            if expected {
                model.add(&path, None);
            }
        }
        Act::Move(from, to) => {
            let tree = model.transfer(&from, &to);
            let done = lab.relocate(&from, &to).await;
            assert_eq!(done.is_ok(), tree.is_some(), "{from} {to} {done:?}");
            if let Some(tree) = tree {
                model.remove(&tree);
            }
        }
        Act::Copy(from, to) => {
            let tree = model.transfer(&from, &to);
            let done = lab.copy(&from, &to).await;
            assert_eq!(done.is_ok(), tree.is_some(), "{from} {to} {done:?}");
        }
        Act::Delete(path) => {
            let tree = model.at(&path);
            let done = lab.delete(&path).await;
            assert_eq!(done.is_ok(), !tree.is_empty(), "{path}");
            if let Ok(act) = done {
                model.remove(&tree);
                model.trash.insert(act, (path, tree));
            }
        }
        Act::Restore(at) => restore(&lab, model, at).await,
        Act::Empty => {
            let count = model.trash.values().map(|(_, tree)| tree.len() as u64);
            assert_eq!(lab.empty_trash().await, count.sum::<u64>());
            model.trash.clear();
        }
        Act::Kill => return lab.kill(),
    }
    lab
}

async fn restore(lab: &Lab, model: &mut Model, at: usize) {
    let Some((&act, (path, tree))) = model.trash.iter().nth(at) else {
        return;
    };
    let (path, tree) = (path.clone(), tree.clone());
    let expected = model.is_free(&path);
    let done = lab.restore(act).await;
    assert_eq!(done.is_ok(), expected, "{path} {done:?}");
    if let Ok(count) = done {
        assert_eq!(count, tree.len() as u64);
        model.trash.remove(&act);
        for (path, content) in tree {
            model.add(&path, content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn random_acts_leave_what_a_simple_model_says(acts in prop::collection::vec(any_act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut lab, mut model) = (Lab::open().await, Model::default());
            for next in acts {
                lab = act(lab, &mut model, next).await;
                assert_eq!(lab.tree(), model.tree);
                lab.recount();
            }
        });
    }
}
