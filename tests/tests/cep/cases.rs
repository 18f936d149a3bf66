//! Random patterns with their inputs, in the words of `processor/tests/java/CepOracle.java`.

use std::fmt::Write as _;

use kafka_wire::rng::Rng;

/// Letters of events. Few, so that there are matches.
const LETTERS: &[u8] = b"abcd";

/// Makes a case: a pattern, ` | `, and its input.
pub(crate) fn random(rng: &mut Rng) -> String {
    let mut maker = Maker { rng, names: Vec::new(), top: Vec::new(), is_free: false };
    let mut stages = String::new();
    maker.stages(&mut stages, 0);
    let skip = match maker.below(10) {
        0..=3 => "no".to_owned(),
        4 => "next".to_owned(),
        5 | 6 => "past".to_owned(),
        7 | 8 if !maker.top.is_empty() => format!("first:{}", maker.one_of_top()),
        _ if !maker.top.is_empty() => format!("last:{}", maker.one_of_top()),
        _ => "no".to_owned(),
    };
    let within = if maker.chance(45) { (2 + maker.below(7)).to_string() + "000" } else { "-".to_owned() };
    // Where an event may be passed by although it fits, the number of matches doubles with each event.
    let count = if maker.is_free { 5 + maker.below(6) } else { 6 + maker.below(14) };
    let mut time = 0;
    let mut events = String::new();
    for _ in 0..count {
        time += [0, 400, 1_000, 1_700][maker.place(4)];
        let variety = if maker.chance(80) { 3 } else { LETTERS.len() };
        let letter = char::from(LETTERS[maker.place(variety)]);
        write!(events, " {letter}{}@{time}", maker.below(10)).expect("memory");
    }
    format!("{skip} {within}{stages} |{events}")
}

struct Maker<'r> {
    rng: &'r mut Rng,
    /// Names of all stages, and of those outside of groups.
    names: Vec<String>,
    top: Vec<String>,
    /// Whether the pattern passes by events that fit.
    is_free: bool,
}

impl Maker<'_> {
    fn stages(&mut self, out: &mut String, depth: u64) {
        let count = 1 + self.below(if depth == 0 { 4 } else { 3 });
        for index in 0..count {
            let link = if index == 0 { "begin" } else { self.link() };
            let is_not = link.starts_with("not");
            write!(out, " {link}").expect("memory");
            let is_group = !is_not && depth < 2 && self.chance(if depth == 0 { 18 } else { 8 });
            if is_group {
                out.push_str(" (");
                self.stages(out, depth + 1);
                out.push_str(" )");
            } else {
                self.stage(out, depth);
            }
            if !is_not && self.chance(50) {
                self.quantifier(out, is_group);
            }
        }
    }

    fn link(&mut self) -> &'static str {
        match self.below(100) {
            0..=29 => "next",
            30..=61 => "followedBy",
            62..=79 => {
                self.is_free = true;
                "followedByAny"
            }
            80..=87 => "notNext",
            _ => "notFollowedBy",
        }
    }

    fn stage(&mut self, out: &mut String, depth: u64) {
        let name = format!("s{}", self.names.len());
        write!(out, " {name}").expect("memory");
        self.names.push(name.clone());
        if depth == 0 {
            self.top.push(name);
        }
        if self.chance(92) {
            let letters = self.letters();
            write!(out, " where in:{letters}").expect("memory");
        }
        if self.chance(20) {
            let condition = self.condition();
            write!(out, " where {condition}").expect("memory");
        }
        if self.chance(8) {
            let condition = self.condition();
            write!(out, " or {condition}").expect("memory");
        }
    }

    fn quantifier(&mut self, out: &mut String, is_group: bool) {
        let is_endless = self.chance(45);
        let repeats = is_endless || self.chance(70);
        if is_endless {
            write!(out, " timesOrMore {}", 1 + self.below(2)).expect("memory");
        } else if repeats {
            let least = 1 + self.below(3);
            write!(out, " times {least} {}", least + self.below(3)).expect("memory");
        }
        if !repeats || self.chance(30) {
            out.push_str(" optional");
        }
        match self.below(10) {
            0 | 1 if repeats => out.push_str(" consecutive"),
            2 | 3 if repeats => {
                self.is_free = true;
                out.push_str(" allowCombinations");
            }
            _ => {}
        }
        if repeats && !is_group && self.chance(30) {
            out.push_str(" greedy");
        }
        if is_endless && self.chance(30) {
            let condition = self.condition();
            write!(out, " until {condition}").expect("memory");
        }
    }

    fn condition(&mut self) -> String {
        match self.below(4) {
            0 => format!("in:{}", self.letters()),
            1 => format!("below:{}", 1 + self.below(9)),
            2 => format!("sum:{}:{}", self.one_of_all(), 5 + self.below(20)),
            _ => format!("rises:{}", self.one_of_all()),
        }
    }

    fn letters(&mut self) -> String {
        let first = self.place(3);
        let mut letters = char::from(LETTERS[first]).to_string();
        if self.chance(25) {
            letters.push(char::from(LETTERS[(first + 1 + self.place(2)) % 4]));
        }
        letters
    }

    fn one_of_all(&mut self) -> String {
        let place = self.place(self.names.len());
        self.names.get(place).cloned().unwrap_or_else(|| "s0".to_owned())
    }

    fn one_of_top(&mut self) -> String {
        let place = self.place(self.top.len());
        self.top[place].clone()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("below a length")
    }
}
