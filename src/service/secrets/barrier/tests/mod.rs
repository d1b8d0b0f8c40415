//! What is true of the barrier.

mod cipher;
mod hashed;
mod keyring;
mod names;

use crate::service::secrets::memory::Key;

/// The bytes of a text of hexadecimal digits.
fn bytes_of(digits: &str) -> Vec<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::try_from(value(&pair[0]) << 4 | value(&pair[1])).unwrap())
        .collect()
}

fn array_of<const LENGTH: usize>(digits: &str) -> [u8; LENGTH] {
    bytes_of(digits).try_into().unwrap()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of the bytes 0, 1, 2 and so on.
fn counting_key() -> Key {
    Key::copied_from(&std::array::from_fn(|number| u8::try_from(number).unwrap()))
}
