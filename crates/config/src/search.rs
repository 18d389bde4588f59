//! Which files a service of OpenStack reads when it is told of none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files `PROJECT.conf` and `PROGRAM.conf` that are there, each in the first place that has it.
pub fn files(
    environment: &BTreeMap<String, String>,
    [project, program]: [&str; 2],
    exists: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    find(environment, project, [project, program].map(|name| format!("{name}.conf")), exists)
}

/// The directories `PROJECT.conf.d` and `PROGRAM.conf.d` that are there; the files `*.conf` of
/// each come after all other files, in the order of their names.
pub fn directories(
    environment: &BTreeMap<String, String>,
    [project, program]: [&str; 2],
    exists: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    find(environment, project, [project, program].map(|name| format!("{name}.conf.d")), exists)
}

fn find(
    environment: &BTreeMap<String, String>,
    project: &str,
    names: [String; 2],
    exists: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let home = environment.get("HOME").map(Path::new);
    let snap = |variable| environment.get(variable).map(Path::new);
    let places: Vec<PathBuf> = [
        home.map(|home| home.join(format!(".{project}"))),
        home.map(Path::to_owned),
        Some(Path::new("/etc").join(project)),
        Some(PathBuf::from("/etc")),
        snap("SNAP_COMMON").map(|snap| snap.join("etc").join(project)),
        snap("SNAP").map(|snap| snap.join("etc").join(project)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let first = |name: String| places.iter().map(|place| place.join(&name)).find(|it| exists(it));
    names.into_iter().filter_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_counts() {
        let names = ["neutron", "neutron-openvswitch-agent"];
        let there = [
            "/etc/neutron/neutron.conf",
            "/etc/neutron.conf",
            "/h/.neutron/neutron-openvswitch-agent.conf",
            "/etc/neutron/neutron-openvswitch-agent.conf",
            "/etc/neutron/neutron.conf.d",
            "/s/etc/neutron/neutron-openvswitch-agent.conf.d",
        ];
        let exists = |path: &Path| there.iter().any(|it| path == Path::new(it));
        let environment = [("HOME", "/h"), ("SNAP", "/s")];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(files(&environment, names, exists), [there[0], there[2]].map(PathBuf::from));
        assert_eq!(
            directories(&environment, names, exists),
            [there[4], there[5]].map(PathBuf::from)
        );
        assert_eq!(files(&BTreeMap::new(), names, exists), [there[0], there[3]].map(PathBuf::from));
        assert_eq!(files(&environment, names, |_| false), Vec::<PathBuf>::new());
    }
}
