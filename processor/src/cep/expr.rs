//! Guards: boolean expressions over the conditions of a pattern.

use super::matched::SoFar;

/// A condition on an event.
pub(super) enum Test<E> {
    /// On the event alone.
    Plain(Box<dyn Fn(&E) -> bool + Send + Sync>),
    /// Also on the events that the run has taken.
    Given(Box<dyn Fn(&E, &SoFar<'_, E>) -> bool + Send + Sync>),
}

/// An expression, by its index in [`Exprs`].
pub(super) type ExprId = u16;

/// The expression that always holds.
pub(super) const ALWAYS: ExprId = 0;

#[derive(Clone, Copy)]
enum Expr {
    Always,
    Test(u16),
    Not(ExprId),
    And(ExprId, ExprId),
    Or(ExprId, ExprId),
}

/// The expressions of a program.
pub(super) struct Exprs<E> {
    exprs: Vec<Expr>,
    tests: Vec<Test<E>>,
    /// Whether an expression looks at the events of the run.
    looks_back: Vec<bool>,
}

impl<E> Exprs<E> {
    pub(super) fn new() -> Self {
        Self { exprs: vec![Expr::Always], tests: Vec::new(), looks_back: vec![false] }
    }

    pub(super) fn len(&self) -> usize {
        self.exprs.len()
    }

    pub(super) fn test(&mut self, test: Test<E>) -> ExprId {
        let looks_back = matches!(test, Test::Given(_));
        self.tests.push(test);
        self.add(Expr::Test(index(self.tests.len() - 1)), looks_back)
    }

    pub(super) fn not(&mut self, inner: ExprId) -> ExprId {
        self.add(Expr::Not(inner), self.looks_back[usize::from(inner)])
    }

    pub(super) fn and(&mut self, left: ExprId, right: ExprId) -> ExprId {
        match (left, right) {
            (ALWAYS, other) | (other, ALWAYS) => other,
            _ => self.add(Expr::And(left, right), self.either_looks_back(left, right)),
        }
    }

    pub(super) fn or(&mut self, left: ExprId, right: ExprId) -> ExprId {
        self.add(Expr::Or(left, right), self.either_looks_back(left, right))
    }

    fn either_looks_back(&self, left: ExprId, right: ExprId) -> bool {
        self.looks_back[usize::from(left)] || self.looks_back[usize::from(right)]
    }

    fn add(&mut self, expr: Expr, looks_back: bool) -> ExprId {
        self.exprs.push(expr);
        self.looks_back.push(looks_back);
        index(self.exprs.len() - 1)
    }

    /// Evaluates an expression. `memo` has the results for this event that do not depend on the run.
    pub(super) fn holds(&self, expr: ExprId, event: &E, so_far: &SoFar<'_, E>, memo: &mut Memo) -> bool {
        let place = usize::from(expr);
        if let Some(known) = memo.known[place] {
            return known;
        }
        let holds = match self.exprs[place] {
            Expr::Always => true,
            Expr::Test(test) => match &self.tests[usize::from(test)] {
                Test::Plain(test) => test(event),
                Test::Given(test) => test(event, so_far),
            },
            Expr::Not(inner) => !self.holds(inner, event, so_far, memo),
            Expr::And(left, right) => self.holds(left, event, so_far, memo) && self.holds(right, event, so_far, memo),
            Expr::Or(left, right) => self.holds(left, event, so_far, memo) || self.holds(right, event, so_far, memo),
        };
        if !self.looks_back[place] {
            memo.known[place] = Some(holds);
        }
        holds
    }
}

/// Results of expressions for one event.
#[derive(Default)]
pub(super) struct Memo {
    known: Vec<Option<bool>>,
}

impl Memo {
    /// Forgets the results, for the next event.
    pub(super) fn clear(&mut self, count: usize) {
        self.known.clear();
        self.known.resize(count, None);
    }
}

/// An index that was checked when the pattern was compiled.
fn index(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}
