//! The API, ML2, the store.
