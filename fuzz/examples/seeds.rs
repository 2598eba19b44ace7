//! Writes the first inputs of each target from the golden packets of `xtask/conformance/wire-facts.toml`, and the
//! topics and filters from the vectors there: `cargo run --example seeds`.

use std::fs;
use std::path::Path;
use toml::{Table, Value};

fn main() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let facts =
        fs::read_to_string(home.join("../xtask/conformance/wire-facts.toml")).expect("the facts are there");
    let facts: Table = facts.parse().expect("the facts are TOML");
    for (version, packets) in facts["golden"].as_table().expect("golden packets") {
        let packets = packets.as_table().expect("a version's packets");
        let mut all = Vec::new();
        for (name, hex) in packets {
            let bytes = bytes_of(hex.as_str().expect("hexadecimal bytes"));
            let name = format!("{version}-{name}");
            for target in ["decode", "reencode", "differential"] {
                write(home, target, &name, &bytes);
            }
            all.extend(bytes);
        }
        for target in ["decode", "reencode"] {
            write(home, target, &format!("{version}-all"), &all);
        }
        write(home, "pieces", &format!("{version}-all"), &[&[3, 1, 7][..], &all].concat());
    }
    topics(home, &facts);
    // A round trip draws its packet from the input, and a play of the session its steps; any bytes are as good as any.
    write(home, "round_trip", "counting", &(0..=255).collect::<Vec<u8>>());
    for start in 0..8_u8 {
        let bytes: Vec<u8> = (0..600_u16).map(|at| (at as u8).wrapping_mul(37 + 2 * start).wrapping_add(start)).collect();
        write(home, "session", &format!("counting-{start}"), &bytes);
    }
}

fn topics(home: &Path, facts: &Table) {
    let pairs = ["match_yes", "match_no"].iter().flat_map(|key| list(&facts["topic"][*key]));
    let mut lines: Vec<String> =
        pairs.map(|pair| list(pair).iter().map(text).collect::<Vec<_>>().join("\n")).collect();
    let filters = [("topic", "filter_ok"), ("topic", "filter_bad"), ("shared", "ok"), ("shared", "bad")];
    for (table, key) in filters {
        lines.extend(list(&facts[table][key]).iter().map(|filter| format!("{}\na/b", text(filter))));
    }
    for (index, line) in lines.iter().enumerate() {
        write(home, "topic", &format!("vector-{index}"), line.as_bytes());
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect()
}

fn write(home: &Path, target: &str, name: &str, bytes: &[u8]) {
    let folder = home.join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join(name), bytes).expect("the seed can be written");
}
