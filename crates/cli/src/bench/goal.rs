//! Figures beside their goals.

/// A figure, and where there is one its goal and whether that is reached.
pub(super) fn row(name: &str, value: String, goal: Option<(String, bool)>) -> [String; 4] {
    let (goal, verdict) = match goal {
        None => ("-".to_owned(), String::new()),
        Some((goal, reached)) => (goal, verdict(reached)),
    };
    [name.to_owned(), value, goal, verdict]
}

/// What stands behind a goal.
pub(super) fn verdict(reached: bool) -> String {
    if reached { "reached" } else { "missed" }.to_owned()
}
