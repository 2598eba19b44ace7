//! The list of known differences holds nothing that the kept frames do not show: an entry that no frame needs hides
//! a finding one day.

use std::fs;
use std::path::Path;

#[test]
fn every_known_difference_shows() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shown = Vec::new();
    for folder in ["corpus/differential", "regressions/differential"] {
        for file in fs::read_dir(home.join(folder)).into_iter().flatten() {
            let frame = fs::read(file.expect("the folder can be read").path()).expect("the file can be read");
            shown.extend(mqtt_fuzz::explanations(&frame));
        }
    }
    for known in mqtt_fuzz::KNOWN {
        for peer in known.peers {
            let shows = shown.iter().any(|(by, this)| by == peer && std::ptr::eq(*this, known));
            assert!(shows, "no frame shows that {peer:?} {}, {}", known.reason, known.statements);
        }
    }
}
