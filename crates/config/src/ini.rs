//! The text of a configuration file, as `oslo_config.iniparser` takes it. Knows nothing of options.
//!
//! A line that starts with white space continues the value above it, comments are whole lines that
//! start with `#` or `;`, a key ends at the first `:` or `=`, and the first line of a value loses
//! quotes that enclose it.

/// One `key = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The group as it is written, without the brackets.
    pub group: String,
    /// The key.
    pub key: String,
    /// The value; its lines are joined by line feeds.
    pub value: String,
    /// The line of the key, from 1.
    pub line: usize,
}

/// A line that oslo.config does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: '{text}'")]
pub struct SyntaxError {
    /// Which line, from 1.
    pub line: usize,
    /// The line, without the white space at its end.
    pub text: String,
    /// What is wrong with it.
    pub problem: SyntaxProblem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxProblem {
    /// Neither a group nor a comment nor an assignment.
    #[error("neither ':' nor '=' in an assignment")]
    NoAssignment,
    /// Nothing before the `=`.
    #[error("an assignment without a key")]
    EmptyKey,
    /// It starts with white space, and there is no value above it.
    #[error("a continuation line without a value above it")]
    Continuation,
    /// `[` without `]` at the end.
    #[error("a group's line must end with ']'")]
    OpenGroup,
    /// `[]`.
    #[error("a group without a name")]
    EmptyGroup,
    /// An assignment before the first group.
    #[error("an assignment before the first group, such as [DEFAULT]")]
    NoGroup,
}

/// Reads a file.
///
/// # Errors
/// The first line that cannot be taken.
pub fn parse(text: &str) -> Result<Vec<Assignment>, SyntaxError> {
    let mut parser = Parser::default();
    for (number, line) in text.replace("\r\n", "\n").split(['\n', '\r']).enumerate() {
        let line = line.trim_end_matches(is_space);
        parser.line(number + 1, line).map_err(|problem| SyntaxError {
            line: number + 1,
            text: line.to_owned(),
            problem,
        })?;
    }
    parser.flush();
    Ok(parser.done)
}

#[derive(Debug, Default)]
struct Parser {
    group: Option<String>,
    /// What further lines may still continue.
    open: Option<Assignment>,
    done: Vec<Assignment>,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), SyntaxProblem> {
        if line.starts_with([' ', '\t']) {
            let open = self.open.as_mut().ok_or(SyntaxProblem::Continuation)?;
            open.value.push('\n');
            open.value.push_str(line.trim_start_matches(is_space));
            return Ok(());
        }
        self.flush();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return Ok(());
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or(SyntaxProblem::OpenGroup)?;
            if name.is_empty() {
                return Err(SyntaxProblem::EmptyGroup);
            }
            self.group = Some(name.to_owned());
            return Ok(());
        }
        let (key, value) = line.split_once([':', '=']).ok_or(SyntaxProblem::NoAssignment)?;
        let key = key.trim_matches(is_space);
        if key.is_empty() {
            return Err(SyntaxProblem::EmptyKey);
        }
        self.open = Some(Assignment {
            group: self.group.clone().ok_or(SyntaxProblem::NoGroup)?,
            key: key.to_owned(),
            value: unquoted(value.trim_matches(is_space)).to_owned(),
            line: number,
        });
        Ok(())
    }

    fn flush(&mut self) {
        self.done.extend(self.open.take());
    }
}

/// Without the quotes that enclose it. A single quote is its own end, and leaves nothing.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            if inner.is_empty() {
                return inner;
            }
            return inner.strip_suffix(quote).unwrap_or(value);
        }
    }
    value
}

/// What Python takes for white space.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String, String, usize)> {
        let parts = |it: Assignment| (it.group, it.key, it.value, it.line);
        parse(text).unwrap().into_iter().map(parts).collect()
    }

    #[test]
    fn an_assignment_has_the_line_of_its_key() {
        let text = "[a]\r\nx = 1\n  2\n# no\n\ny: b=c\n[b]\nx = 'q'\nx = \"\n";
        let expected =
            [("a", "x", "1\n2", 2), ("a", "y", "b=c", 6), ("b", "x", "q", 8), ("b", "x", "", 9)];
        let expected = expected.map(|(group, key, value, line)| {
            (group.to_owned(), key.to_owned(), value.to_owned(), line)
        });
        assert_eq!(parsed(text), expected);
    }

    #[test]
    fn a_line_that_cannot_be_taken_is_named() {
        for (text, line, problem) in [
            ("[a]\nx", 2, SyntaxProblem::NoAssignment),
            ("[a]\n\n= 1", 3, SyntaxProblem::EmptyKey),
            ("[a]\nx = 1\n\n  2", 4, SyntaxProblem::Continuation),
            ("[a]\n# b\n  2", 3, SyntaxProblem::Continuation),
            ("[a] # b", 1, SyntaxProblem::OpenGroup),
            ("[]", 1, SyntaxProblem::EmptyGroup),
            ("[", 1, SyntaxProblem::OpenGroup),
            ("x = 1\n[a]", 1, SyntaxProblem::NoGroup),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.problem), (line, problem), "{text:?}");
        }
    }
}
