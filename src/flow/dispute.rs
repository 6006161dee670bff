//! Disputes: makes a vendor's package by that vendor's rules, and sends it where that may be.
