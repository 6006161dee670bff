//! The API of incidents.
