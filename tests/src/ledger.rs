//! The statements of a producer about its records, held against the log: nothing that it has acknowledged is missing,
//! and nothing that it calls not written is there.

use std::collections::BTreeMap;

use kafka_wire::producer::{DeliveryError, RecordMetadata};

/// The statement of a producer about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// It is in the log.
    Written,
    /// It is not.
    NotWritten,
    /// It may be: an attempt got no conclusive answer.
    Unknown,
}

/// The records of a test, each with a name of its own, and the statements about them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    statements: BTreeMap<String, Statement>,
}

impl Ledger {
    /// Enters the outcome of a record.
    pub fn enter(&mut self, name: impl Into<String>, outcome: &Result<RecordMetadata, DeliveryError>) {
        let statement = match outcome {
            Ok(_) => Statement::Written,
            Err(error) if error.possibly_written => Statement::Unknown,
            Err(_) => Statement::NotWritten,
        };
        self.statements.insert(name.into(), statement);
    }

    /// Number of records about which this was said.
    #[must_use]
    pub fn count(&self, statement: Statement) -> usize {
        self.statements.values().filter(|found| **found == statement).count()
    }

    /// The records of the log that contradict a statement, stand there twice or were never sent; nothing if all is
    /// well.
    #[must_use]
    pub fn contradictions<'r>(&self, log: impl IntoIterator<Item = &'r str>) -> Vec<String> {
        let mut counts = BTreeMap::<&str, usize>::new();
        for name in log {
            *counts.entry(name).or_default() += 1;
        }
        let judge = |(name, statement): (&String, &Statement)| match (statement, counts.get(name.as_str())) {
            (Statement::Written, None) => Some(format!("{name} is acknowledged and lost")),
            (Statement::NotWritten, Some(_)) => Some(format!("{name} is called not written, and is there")),
            _ => None,
        };
        let mut found: Vec<String> = self.statements.iter().filter_map(judge).collect();
        let is_foreign = |name: &&&str| !self.statements.contains_key(**name);
        found.extend(counts.keys().filter(is_foreign).map(|name| format!("{name} was never sent")));
        let doubled = counts.iter().filter(|(_, count)| **count > 1);
        found.extend(doubled.map(|(name, count)| format!("{name} is there {count} times")));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_foreign_or_there_all_the_same_is_found() {
        let statements = [("a", Statement::Written), ("b", Statement::NotWritten), ("c", Statement::Unknown)];
        let statements = statements.map(|(name, statement)| (name.to_owned(), statement)).into();
        let ledger = Ledger { statements };
        for sound in [&["a"][..], &["c", "a"]] {
            assert_eq!(ledger.contradictions(sound.iter().copied()), [""; 0], "{sound:?}");
        }
        let unsound = [
            (&["c"][..], "a is acknowledged and lost"),
            (&["a", "b"], "b is called not written, and is there"),
            (&["a", "c", "c"], "c is there 2 times"),
            (&["a", "d"], "d was never sent"),
        ];
        for (log, why) in unsound {
            assert_eq!(ledger.contradictions(log.iter().copied()), [why]);
        }
        assert_eq!(ledger.count(Statement::Written), 1);
    }
}
