//! A pattern as text: for `describe()` of a job, and to tell state of another pattern.

use super::pattern::{Inner, Link, Pattern, Skip, Stage, Times, What};

/// Writes a pattern like `a -> b{1..} ~> c? within 60000 ms`: `->` is next, `~>` followed by, `*>` followed by any, and
/// `!` stands before what is forbidden.
pub(super) fn describe<E>(pattern: &Pattern<E>) -> String {
    let mut text = sequence(&pattern.stages);
    if let Some(within) = pattern.within {
        text.push_str(&format!(" within {} ms", within.as_millis()));
    }
    match &pattern.skip {
        Skip::NoSkip => {}
        Skip::ToNext => text.push_str(", skip to next"),
        Skip::PastLastEvent => text.push_str(", skip past last event"),
        Skip::ToFirst(stage) => text.push_str(&format!(", skip to first {stage}")),
        Skip::ToLast(stage) => text.push_str(&format!(", skip to last {stage}")),
    }
    text
}

fn sequence<E>(stages: &[Stage<E>]) -> String {
    let mut text = String::new();
    for (index, stage) in stages.iter().enumerate() {
        if index > 0 {
            text.push_str(match stage.link {
                Link::Next => " -> ",
                Link::FollowedBy => " ~> ",
                Link::FollowedByAny => " *> ",
                Link::NotNext => " -> !",
                Link::NotFollowedBy => " ~> !",
            });
        }
        match &stage.what {
            What::Event(name, _) => text.push_str(name),
            What::Group(group) => text.push_str(&format!("({})", sequence(group))),
        }
        match stage.times {
            None => {}
            Some(Times { least, most: None }) => text.push_str(&format!("{{{least}..}}")),
            Some(Times { least, most: Some(most) }) if least == most => text.push_str(&format!("{{{least}}}")),
            Some(Times { least, most: Some(most) }) => text.push_str(&format!("{{{least}..={most}}}")),
        }
        let inner = match stage.inner {
            Inner::Relaxed => "",
            Inner::Consecutive => " consecutive",
            Inner::Combinations => " combinations",
        };
        let flags = [(stage.is_optional, "?"), (stage.is_greedy, " greedy"), (stage.until.is_some(), " until")];
        flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, flag)| text.push_str(flag));
        text.push_str(inner);
    }
    text
}
