//! What happens without anybody asking: the rescan.

pub mod rescan;
