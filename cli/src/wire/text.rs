//! JSON for people.

/// Breaks one line of JSON into many: one for each member or element, indented by two spaces.
pub(super) fn pretty(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        text.push(character);
        if is_quoted {
            is_quoted = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
        } else {
            is_quoted = character == '"';
        }
        if is_quoted {
            continue;
        }
        let closes = rest.peek().is_some_and(|next| matches!(next, '}' | ']'));
        match character {
            '{' | '[' if closes => {}
            '{' | '[' => {
                depth += 1;
                new_line(&mut text, depth);
            }
            ',' => new_line(&mut text, depth),
            ':' => text.push(' '),
            _ if closes => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
            }
            _ => {}
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn members_and_elements_get_a_line_each() {
        assert_eq!(
            pretty(r#"{"a":1,"b":[],"c":[{},2]}"#),
            "{\n  \"a\": 1,\n  \"b\": [],\n  \"c\": [\n    {},\n    2\n  ]\n}"
        );
    }

    #[test]
    fn what_is_quoted_stays_as_it_is() {
        assert_eq!(pretty(r#"{"a":"{[,:\"]\\"}"#), "{\n  \"a\": \"{[,:\\\"]\\\\\"\n}");
    }
}
