//! Big-endian integers read from and written to slices, without a way to panic.

/// Returns the byte at `at`.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Returns the 16-bit integer that begins at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u16::from_be_bytes(*bytes))
}

/// Returns the 32-bit integer that begins at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

/// Overwrites the 16-bit integer that begins at `at`; changes nothing where there is none.
pub(crate) fn set_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(bytes) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *bytes = value.to_be_bytes();
    }
}

/// Overwrites the 32-bit integer that begins at `at`; changes nothing where there is none.
pub(crate) fn set_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(bytes) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *bytes = value.to_be_bytes();
    }
}

/// Appends a 16-bit integer.
pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a 32-bit integer.
pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Returns `length` as an 8-bit number, the largest one if it does not fit.
pub(crate) fn length_u8(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Returns `length` as the 16-bit number of a length field, the largest one if it does not fit.
pub(crate) fn length_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
