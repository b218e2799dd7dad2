//! The traces of a few short histories are kept as files that read like a story. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use rauthy_simulator::Story;

#[test]
fn the_stories_are_as_they_were_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    for story in Story::ALL {
        let told = story.tell().unwrap_or_else(|message| panic!("{}: {message}", story.name()));
        let path = folder.join(format!("{}.txt", story.name()));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &told).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = kept.lines().zip(told.lines()).position(|(a, b)| a != b);
        assert!(
            kept == told,
            "the story of {} has changed, from line {differs:?} on; see it with `cargo run -p rauthy-simulator -- story {}`, \
             and if it is right keep it with UPDATE_GOLDEN=1 cargo test -p rauthy-simulator --test stories",
            story.name(),
            story.name()
        );
    }
}
