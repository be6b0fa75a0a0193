"""llama.cpp as a peer: llama-bench and the converter to GGUF, from the source distribution of llama-cpp-python."""

import json
import os
import subprocess
import sys

# A source distribution by name; the version that was found stands in the report.
PACKAGE = "llama-cpp-python"
# What llama-bench does not need.
SETTINGS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF",
            "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF"]


class LlamaCpp:
    """Built when first used; a second use finds it in place."""

    def __init__(self, folder):
        self.folder = folder
        self.program = folder / "build/bin/llama-bench"

    def version(self):
        return (self.folder / "version").read_text() if (self.folder / "version").exists() else ""

    def need(self):
        if self.program.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Its metadata want a build backend; the archive itself is all that is wanted.
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", PACKAGE,
                        "-d", self.folder, PACKAGE], check=True)
        archive = next(self.folder.glob("*.tar.gz"))
        subprocess.run(["tar", "xf", archive, "-C", self.folder], check=True)
        (self.folder / "version").write_text(archive.name.removesuffix(".tar.gz").rsplit("-", 1)[1])
        build = self.folder / "build"
        subprocess.run(["cmake", "-G", "Ninja", "-S", self.source(), "-B", build, *SETTINGS], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", build, "--target", "llama-bench"], check=True, stdout=subprocess.DEVNULL)

    def source(self):
        return next(self.folder.glob("llama_cpp_python-*/vendor/llama.cpp"))

    def model(self, checkpoint):
        """The checkpoint's bfloat16 weights as GGUF."""
        gguf = self.folder / f"{checkpoint.name}.gguf"
        if not gguf.exists():
            part = gguf.with_suffix(".part")
            subprocess.run([sys.executable, self.source() / "convert_hf_to_gguf.py", checkpoint, "--outtype", "bf16", "--outfile", part],
                           check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(self.source() / "gguf-py")})
            part.rename(gguf)
        return gguf

    def prefill_tokens_per_s(self, checkpoint, tokens, threads):
        text = subprocess.run(
            [self.program, "-m", self.model(checkpoint), "-p", str(tokens), "-n", "0", "-t", str(threads), "-r", "3", "-o", "json"],
            check=True, capture_output=True, text=True).stdout
        return json.loads(text)[0]["avg_ts"]
