//! What the tests share.

use std::collections::BTreeMap;

use rauthy_model::catalogue::{Check, Size, Topic, checks};
use rauthy_model::search::Limits;

/// Keeps each test well below 1 GiB.
const STATES: usize = 2_000_000;

/// Every small check of a topic that must find nothing, found nothing, and all that it is about did happen.
pub fn all_hold(topic: Topic) {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let small = |check: &Check| check.topic == topic && check.size == Size::Small && !check.breaks();
    for check in checks().unwrap().into_iter().filter(small) {
        let report = check.run(Limits::states(STATES));
        let story = report.story().map(ToString::to_string).unwrap_or_default();
        assert!(check.agrees(&report), "{}: {report}\n{story}", check.name);
        assert!(report.features[0].1 > 0, "{}: never {}", check.name, report.features[0].0);
        report.features.iter().for_each(|(feature, count)| *seen.entry(feature).or_default() += count);
    }
    assert!(!seen.is_empty());
    for (feature, count) in seen {
        assert!(count > 0, "never {feature}: the checks say little");
    }
}

/// The check of this name finds a counterexample; its story is kept as a golden file and has these words in this order.
pub fn breaks(name: &str, words: &[&str]) {
    let check = find(name);
    assert!(check.breaks());
    let report = check.run(Limits::states(STATES));
    assert!(check.agrees(&report), "{name}: {report}");
    let story = report.story().unwrap().to_string();
    let mut rest = story.as_str();
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("`{word}` does not follow in\n{story}"));
        rest = &rest[at..];
    }
    let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../stories" }, {
        insta::assert_snapshot!(file, story);
    });
}

/// Random walks find the counterexample too, and cut it to what it needs.
#[allow(dead_code, reason = "not every test program walks")]
pub fn found_by_walks(name: &str) {
    let check = checks()
        .unwrap()
        .into_iter()
        .find(|c| c.name.starts_with(name) && c.name.ends_with("walks"))
        .unwrap();
    let report = check.run(Limits::states(0));
    assert!(check.breaks() && check.agrees(&report), "{name}: {report}");
    let length = report.story().unwrap().lines.len();
    assert!(length < 100, "{name}: {length} steps");
}

fn find(name: &str) -> Check {
    checks()
        .unwrap()
        .into_iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no check `{name}`"))
}
