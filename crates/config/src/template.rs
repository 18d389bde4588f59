//! `$option`, `${group.option}`, and `$$` or `\$` for a dollar sign.

/// Replaces what `text` names by what `lookup` says. A `$` that names nothing stays. What is put in
/// is not looked at again.
///
/// # Errors
/// What `lookup` fails with.
pub(crate) fn expand<E>(
    text: &str,
    mut lookup: impl FnMut(&str) -> Result<String, E>,
) -> Result<String, E> {
    let text = text.replace("\\$", "$$");
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| {
            let name = name(inner);
            Some((name, inner.strip_prefix(name)?.strip_prefix('}')?))
        });
        let plain = || (name(after), after.strip_prefix(name(after)).unwrap_or(after));
        let (name, next) = braced.unwrap_or_else(plain);
        rest = next;
        if let Some(next) = after.strip_prefix('$') {
            expanded.push('$');
            rest = next;
        } else if name.is_empty() {
            expanded.push('$');
            rest = after;
        } else {
            expanded.push_str(&lookup(name)?);
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name that `text` begins with; empty if it begins with none.
fn name(text: &str) -> &str {
    if !text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
        return "";
    }
    let end = text.find(|c: char| c != '_' && c != '.' && !c.is_ascii_alphanumeric());
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced() {
        for (text, expected) in [
            ("$a", "<a>"),
            ("${a}b $a.b/c", "<a>b <a.b>/c"),
            ("$$a \\$a", "$a $a"),
            ("$ $1 ${a ${} $", "$ $1 ${a ${} $"),
            ("${a.b}${c}", "<a.b><c>"),
        ] {
            let expanded = expand(text, |name| Ok::<_, ()>(format!("<{name}>"))).unwrap();
            assert_eq!(expanded, expected, "{text}");
        }
    }
}
