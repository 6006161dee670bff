//! Programs for Windows, as small as they can be.

const HEADERS: usize = 0x400;
const CODE_AT: u32 = 0x1000;
const DATA_AT: u32 = 0x2000;

/// A program that imports functions and carries data.
pub fn windows(imports: &[(&str, &[&str])], data: &[u8]) -> Vec<u8> {
    let (mut content, directory) = import_section(imports);
    content.extend(data);
    let size = content.len();
    content.resize(size.next_multiple_of(0x200), 0);
    let mut program = headers(&content, size, directory);
    program.resize(HEADERS, 0);
    program.extend([0x31, 0xc0, 0xc3]);
    program.resize(HEADERS + 0x200, 0);
    program.extend(content);
    program
}

/// Imports nothing that matters.
pub fn harmless() -> Vec<u8> {
    windows(&[("KERNEL32.dll", &["ExitProcess", "GetStdHandle"])], &[])
}

/// Imports what it takes to run code in another process.
pub fn injector() -> Vec<u8> {
    let names = [
        "OpenProcess",
        "VirtualAllocEx",
        "WriteProcessMemory",
        "CreateRemoteThread",
    ];
    windows(&[("KERNEL32.dll", &names)], &[])
}

/// Carries data that looks as if it were packed.
pub fn packed() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let noise: Vec<u8> = (0..8192).flat_map(|_| next()).collect();
    let names = ["LoadLibraryA", "GetProcAddress"];
    windows(&[("KERNEL32.dll", &names)], &noise)
}

/// Returns the content of the section with the imports, and the size of their directory.
fn import_section(imports: &[(&str, &[&str])]) -> (Vec<u8>, u32) {
    let directory = 20 * (imports.len() + 1);
    let (mut content, mut entries) = (vec![0; directory], Vec::new());
    for (library, names) in imports {
        let hints: Vec<u32> = names
            .iter()
            .map(|name| text(&mut content, &["\0\0", name].concat()))
            .collect();
        let name = text(&mut content, library);
        let lookup = table(&mut content, &hints);
        let addresses = table(&mut content, &hints);
        entries.extend(words(&[lookup, 0, 0, name, addresses]));
    }
    content[..entries.len()].copy_from_slice(&entries);
    (content, u32::try_from(directory).unwrap())
}

/// Appends a text and returns its address.
fn text(content: &mut Vec<u8>, text: &str) -> u32 {
    content.resize(content.len().next_multiple_of(4), 0);
    let at = DATA_AT + u32::try_from(content.len()).unwrap();
    content.extend(text.as_bytes());
    content.push(0);
    at
}

fn table(content: &mut Vec<u8>, hints: &[u32]) -> u32 {
    content.resize(content.len().next_multiple_of(4), 0);
    let at = DATA_AT + u32::try_from(content.len()).unwrap();
    content.extend(words(hints));
    content.extend([0; 4]);
    at
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn halves(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The DOS header, the COFF header, the optional header of PE32 and two section headers.
fn headers(content: &[u8], size: usize, directory: u32) -> Vec<u8> {
    let raw = u32::try_from(content.len()).unwrap();
    let size = u32::try_from(size.max(0x200)).unwrap();
    let whole = DATA_AT + raw.next_multiple_of(0x1000);
    let mut head = b"MZ".to_vec();
    head.resize(0x3c, 0);
    head.extend(words(&[0x80]));
    head.extend(b"\x0e\x1f\xba\x0e\0\xb4\x09\xcd\x21\xb8\x01\x4c\xcd\x21This program cannot");
    head.resize(0x80, 0);
    head.extend(b"PE\0\0");
    head.extend(halves(&[0x14c, 2]));
    head.extend(words(&[0x5f00_0000, 0, 0]));
    head.extend(halves(&[0xe0, 0x102, 0x10b, 14]));
    head.extend(words(&[0x200, raw, 0, CODE_AT, CODE_AT, DATA_AT]));
    head.extend(words(&[0x40_0000, 0x1000, 0x200]));
    head.extend(halves(&[6, 0, 0, 0, 6, 0]));
    head.extend(words(&[0, whole, 0x400, 0]));
    head.extend(halves(&[3, 0x8140]));
    head.extend(words(&[0x10_0000, 0x1000, 0x10_0000, 0x1000, 0, 16]));
    head.extend(words(&[0, 0, DATA_AT, directory]));
    head.extend([0; 14 * 8]);
    head.extend(section(
        b".text\0\0\0",
        [0x1000, CODE_AT, 0x200, 0x400],
        0x6000_0020,
    ));
    head.extend(section(
        b".rdata\0\0",
        [size, DATA_AT, raw, 0x600],
        0x4000_0040,
    ));
    head
}

fn section(name: &[u8; 8], places: [u32; 4], flags: u32) -> Vec<u8> {
    let numbers = [words(&places), vec![0; 12], words(&[flags])].concat();
    [name.to_vec(), numbers].concat()
}
