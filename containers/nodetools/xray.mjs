// Prints what js-x-ray says of one file as JSON: its warnings, or why it cannot read it.
import { readFileSync } from "node:fs";
import { AstAnalyser } from "@nodesecure/js-x-ray";

const source = readFileSync(process.argv[2], "utf8");
try {
  const report = new AstAnalyser().analyse(source, { removeHTMLComments: true });
  const warnings = report.warnings.map(({ kind, severity, value }) => ({ kind, severity, value }));
  console.log(JSON.stringify({ ok: true, warnings }));
} catch (error) {
  console.log(JSON.stringify({ ok: false, error: `${error.name}: ${error.message}` }));
}
