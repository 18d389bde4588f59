//! What `neutron.conf` says of quotas and other limits. There are no options for them.

use std::time::Duration;

use config::{Settings, table::server as file};
use server::Limits;

/// The limits of the files; what they do not say is as without files.
pub(super) fn of(files: &Settings) -> Limits {
    let without = Limits::without_quotas();
    let quotas = [
        ("network", &file::QUOTA_NETWORK),
        ("subnet", &file::QUOTA_SUBNET),
        ("port", &file::QUOTA_PORT),
        ("security_group", &file::QUOTA_SECURITY_GROUP),
        ("security_group_rule", &file::QUOTA_SECURITY_GROUP_RULE),
    ];
    // Whatever is below -1 is no limit either.
    let said = |option| files.said(option).map(|quota: i64| quota.max(-1));
    let pairs = files.said(&file::MAX_ALLOWED_ADDRESS_PAIR);
    let seconds = files.said(&file::AGENT_DOWN_TIME).and_then(|it| u64::try_from(it).ok());
    Limits {
        quotas: quotas
            .into_iter()
            .filter_map(|(name, option)| Some((name.to_owned(), said(option)?)))
            .collect(),
        default_quota: said(&file::DEFAULT_QUOTA).unwrap_or(without.default_quota),
        allowed_address_pairs: pairs
            .and_then(|pairs| usize::try_from(pairs).ok())
            .unwrap_or(without.allowed_address_pairs),
        agent_down_time: seconds.map_or(without.agent_down_time, Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use config::{File, Source, Sources, table};

    use super::*;

    #[test]
    fn limits_are_those_of_the_files() {
        assert_eq!(of(&Settings::default()), Limits::without_quotas());
        let text = "[DEFAULT]\nagent_down_time = 20\nmax_allowed_address_pair = 3\n\
                    [QUOTAS]\ndefault_quota = 9\nquota_port = 5\nquota_network = -2\n";
        let file = File::parse("neutron.conf".into(), text).unwrap();
        let sources = Sources { ordered: vec![Source::File(file)], ..Sources::default() };
        let limits = of(&Settings::read(&sources, table::server()).0);
        assert_eq!(limits.agent_down_time, Duration::from_secs(20));
        assert_eq!((limits.allowed_address_pairs, limits.default_quota), (3, 9));
        let quotas: Vec<_> = limits.quotas.into_iter().collect();
        assert_eq!(quotas, [("network".to_owned(), -1), ("port".to_owned(), 5)]);
    }
}
