//! Names of what is used once: containers, staged files, working directories.

/// Returns 16 random hexadecimal digits: a name that says nothing.
pub fn random_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    hex::encode(bytes)
}
