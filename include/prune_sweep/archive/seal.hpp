/// \file
/// The seal of an archive: the SHA-256 of all bytes before it, at the end of the file, after what
/// HDF5 knows of. It finds any altered byte, in a copy of the file too, and without HDF5, whose
/// libraries must not be trusted with an altered file.
///
/// `head -c -85 archive.h5 | sha256sum` prints what `tail -c 65 archive.h5` says.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace prune_sweep {

/// What stands at the end of a file whose other bytes are `bytes`: 85 bytes of ASCII, a mark, the
/// digest and a line feed.
std::string seal_of(std::string_view bytes);

/// Throws Error (kBadInput) naming the file unless its seal fits; else gives the digest.
std::string require_sealed(const std::filesystem::path& path);

}  // namespace prune_sweep
