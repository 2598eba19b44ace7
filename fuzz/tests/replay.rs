//! Gives every input that is kept to its target: minimised corpora and what was once found. Runs on stable.

use std::path::Path;
use std::{fs, panic};

#[test]
fn what_is_kept_finds_nothing() {
    for folder in ["corpus", "regressions"] {
        for (name, target) in mqtt_fuzz::TARGETS {
            replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name), target);
        }
    }
}

#[test]
fn every_target_has_a_corpus() {
    for (name, _) in mqtt_fuzz::TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        assert!(fs::read_dir(&corpus).is_ok_and(|mut files| files.next().is_some()), "{}", corpus.display());
    }
}

fn replay(folder: &Path, target: mqtt_fuzz::Target) {
    // A target without a finding has no folder of regressions.
    for file in fs::read_dir(folder).into_iter().flatten() {
        let path = file.expect("the folder can be read").path();
        let input = fs::read(&path).expect("the file can be read");
        assert!(panic::catch_unwind(|| target(&input)).is_ok(), "found by {}", path.display());
    }
}
