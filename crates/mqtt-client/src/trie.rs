//! Topic filters as a tree of levels: finding those that match a topic costs what the topic has levels, not what there
//! are filters.

use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Values filed under topic filters. Flat, so that a filter with thousands of levels costs no stack.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    nodes: Vec<Node<V>>,
    /// Places in `nodes` to use again.
    free: Vec<usize>,
    /// Where a search still has to look, kept for its memory: a node, and where its levels of the topic begin.
    pending: Vec<(usize, Option<usize>)>,
    /// Nodes that searches have looked at.
    #[cfg(test)]
    pub(crate) visited: usize,
}

#[derive(Debug)]
struct Node<V> {
    /// Filters that end here.
    here: Vec<V>,
    /// Filters that end in `#` below here.
    below: Vec<V>,
    /// The child for the level `+`.
    any: Option<usize>,
    /// What comes from the network is only looked up, never put in: the hash need not withstand an attacker.
    children: HashMap<Box<str>, usize, RandomState>,
}

const ROOT: usize = 0;

impl<V: Copy + PartialEq> Trie<V> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::new()],
            free: Vec::new(),
            pending: Vec::new(),
            #[cfg(test)]
            visited: 0,
        }
    }

    pub(crate) fn insert(&mut self, filter: &str, value: V) {
        let mut node = ROOT;
        for level in filter.split('/') {
            if level == "#" {
                self.nodes[node].below.push(value);
                return;
            }
            node = self.child(node, level).unwrap_or_else(|| self.add_child(node, level));
        }
        self.nodes[node].here.push(value);
    }

    /// Takes the value out again, and the branch that only it needed.
    pub(crate) fn remove(&mut self, filter: &str, value: V) {
        let mut path = Vec::new();
        let mut node = ROOT;
        let mut below = false;
        for level in filter.split('/') {
            if level == "#" {
                below = true;
                break;
            }
            let Some(child) = self.child(node, level) else { return };
            path.push((node, level));
            node = child;
        }
        let Node { here, below: beneath, .. } = &mut self.nodes[node];
        if below { beneath } else { here }.retain(|filed| *filed != value);

        while let Some((parent, level)) = path.pop()
            && self.nodes[node].is_bare()
        {
            match level {
                "+" => self.nodes[parent].any = None,
                level => _ = self.nodes[parent].children.remove(level),
            }
            self.free.push(node);
            node = parent;
        }
    }

    /// Calls `found` with the value of each filter that matches, section 4.7.
    pub(crate) fn search(&mut self, topic: &str, mut found: impl FnMut(V)) {
        let mut pending = core::mem::take(&mut self.pending);
        pending.push((ROOT, Some(0)));
        while let Some((at, start)) = pending.pop() {
            #[cfg(test)]
            {
                self.visited += 1;
            }
            let node = &self.nodes[at];
            let Some(start) = start else {
                node.here.iter().copied().for_each(&mut found);
                // `#` stands for the parent level too.
                node.below.iter().copied().for_each(&mut found);
                continue;
            };
            let rest = topic.get(start..).unwrap_or_default();
            // Levels are short: a plain walk finds their end sooner than a search that is made for long texts.
            let (level, next) = match rest.bytes().position(|byte| byte == b'/') {
                Some(end) => (rest.get(..end).unwrap_or_default(), Some(start + end + 1)),
                None => (rest, None),
            };
            // [MQTT-4.7.2-1]: a wildcard in the first level takes no topic that begins with `$`.
            if at != ROOT || !topic.starts_with('$') {
                node.below.iter().copied().for_each(&mut found);
                pending.extend(node.any.map(|child| (child, next)));
            }
            pending.extend(node.children.get(level).map(|&child| (child, next)));
        }
        self.pending = pending;
    }

    fn child(&self, node: usize, level: &str) -> Option<usize> {
        let node = &self.nodes[node];
        if level == "+" { node.any } else { node.children.get(level).copied() }
    }

    fn add_child(&mut self, parent: usize, level: &str) -> usize {
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::new());
            self.nodes.len() - 1
        });
        match level {
            "+" => self.nodes[parent].any = Some(child),
            level => _ = self.nodes[parent].children.insert(level.into(), child),
        }
        child
    }
}

impl<V> Node<V> {
    fn new() -> Self {
        Self { here: Vec::new(), below: Vec::new(), any: None, children: HashMap::default() }
    }

    fn is_bare(&self) -> bool {
        self.here.is_empty() && self.below.is_empty() && self.any.is_none() && self.children.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt_session::TopicFilter;

    fn found(trie: &mut Trie<usize>, topic: &str) -> Vec<usize> {
        let mut values = Vec::new();
        trie.search(topic, |value| values.push(value));
        values.sort_unstable();
        values
    }

    /// The examples of section 4.7: [MQTT-4.7.1-1], [MQTT-4.7.2-1], [MQTT-4.7.2-1/3.1.1], [MQTT-4.7.3-4],
    /// [MQTT-4.7.3-4/3.1.1] and around.
    #[test]
    fn the_examples_of_the_standard() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "a/b/c", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("#", "$SYS", false),
            ("+", "$SYS", false),
            ("ACCOUNTS", "Accounts", false),
            // Composed and decomposed.
            ("caf\u{e9}", "cafe\u{301}", false),
            ("caf\u{e9}/+", "caf\u{e9}/\u{feff}", true),
            (" a", "a", false),
        ] {
            let mut trie = Trie::new();
            trie.insert(filter, 7);
            assert_eq!(!found(&mut trie, topic).is_empty(), expected, "{filter} takes {topic}");
        }
    }

    /// Every filter of up to three levels against every topic, beside the codec's matching, which knows no tree.
    #[test]
    fn agrees_with_matching_one_by_one() {
        let words = ["", "a", "b", "$", "+"];
        let mut texts: Vec<String> = vec!["#".into()];
        for a in words {
            texts.push(a.into());
            texts.push(format!("{a}/#"));
            for b in words {
                texts.push(format!("{a}/{b}"));
                texts.push(format!("{a}/{b}/#"));
                texts.extend(words.map(|c| format!("{a}/{b}/{c}")));
            }
        }
        let filters: Vec<TopicFilter> =
            texts.iter().filter_map(|text| TopicFilter::try_from(text.as_str()).ok()).collect();
        let mut trie = Trie::new();
        for (value, filter) in filters.iter().enumerate() {
            trie.insert(filter.filter(), value);
        }
        // And once more with every second one taken out.
        for step in [1, 2] {
            for topic in texts.iter().filter(|topic| !topic.is_empty() && !topic.contains(['+', '#'])) {
                let expected: Vec<usize> =
                    (0..filters.len()).step_by(step).filter(|&value| filters[value].matches(topic)).collect();
                assert_eq!(found(&mut trie, topic), expected, "{topic}");
            }
            for (value, filter) in filters.iter().enumerate().skip(1).step_by(2) {
                trie.remove(filter.filter(), value);
            }
        }
    }

    #[test]
    fn removing_gives_the_branch_back() {
        let mut trie = Trie::new();
        trie.insert("a/b/c", 1);
        trie.insert("a/+/c/#", 2);
        let size = trie.nodes.len();
        trie.remove("a/b/c", 1);
        trie.remove("a/+/c/#", 2);
        trie.remove("never/there", 3);
        assert_eq!(trie.free.len(), size - 1, "all but the root are free");
        trie.insert("x/+/z/#", 4);
        trie.insert("x/y/z", 5);
        assert_eq!(trie.nodes.len(), size, "and used again");
        assert_eq!(found(&mut trie, "x/y/z"), [4, 5]);
    }

    #[test]
    fn a_filter_with_thousands_of_levels_is_no_trouble() {
        let deep = "/".repeat(60_000);
        let mut trie = Trie::new();
        trie.insert(&deep, 1);
        assert_eq!(found(&mut trie, &deep), [1]);
        trie.remove(&deep, 1);
        assert_eq!(found(&mut trie, &deep), []);
    }
}
