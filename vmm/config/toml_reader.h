// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <toml++/toml.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

// Collects problems with their places, so that a user sees all of them at once.
class ConfigProblems {
 public:
  explicit ConfigProblems(std::string file) : file_(std::move(file)) {}

  void Add(const toml::source_region& place, std::string_view key, std::string_view problem);
  // "file:line:column".
  [[nodiscard]] std::string Place(const toml::source_region& place) const;
  // Throws ConfigError, in the order of the file, if there are any.
  void ThrowIfAny() const;

 private:
  struct Problem {
    std::uint32_t line;
    std::uint32_t column;
    std::string text;
  };
  std::string file_;
  std::vector<Problem> problems_;
};

// Reads one TOML table. Each getter consumes its key; Finish() reports the keys nobody asked for.
// A getter returns nothing where the key is absent or wrong; what is wrong has been reported.
class TomlReader {
 public:
  // `table` may be null: an absent table, all of whose keys are absent. Its place is `parent`'s.
  TomlReader(const toml::table* table, std::string name, toml::source_region place,
             ConfigProblems& problems);

  std::optional<std::string> String(std::string_view key);
  std::optional<bool> Bool(std::string_view key);
  std::optional<std::int64_t> Integer(std::string_view key, std::int64_t minimum,
                                      std::int64_t maximum);
  // A size such as "128M" (K, M, G) or a number of bytes; a positive multiple of `unit_bytes`.
  std::optional<std::uint64_t> Size(std::string_view key, std::uint64_t unit_bytes);
  std::vector<std::int64_t> Integers(std::string_view key, std::int64_t minimum,
                                     std::int64_t maximum);
  // The same, or one integer.
  std::vector<std::int64_t> IntegerOrList(std::string_view key, std::int64_t minimum,
                                          std::int64_t maximum);
  std::vector<std::string> Strings(std::string_view key);
  // A table of device tree properties: a string, a list of strings, a cell, a list of cells, true
  // for an empty one, or { bytes = "00 0a 35" }. Those named in `reserved` are reported.
  std::vector<std::pair<std::string, std::vector<std::byte>>> Properties(
      std::string_view key, std::span<const std::string_view> reserved);
  // A table of name = integer.
  std::vector<std::pair<std::string, std::int64_t>> NamedIntegers(std::string_view key,
                                                                  std::int64_t minimum,
                                                                  std::int64_t maximum);
  // One of `words`; reports the list of them otherwise. Returns its index.
  std::optional<std::size_t> Word(std::string_view key, std::span<const std::string_view> words);
  TomlReader Table(std::string_view key);
  std::vector<TomlReader> Tables(std::string_view key);
  // The elements of a list, each a table or, for short, a string that stands for its table's
  // `shorthand` key. Both are read alike.
  std::vector<TomlReader> TablesOrStrings(std::string_view key, std::string_view shorthand);

  // "file:line:column: TABLE.KEY", of the table if the key is absent.
  [[nodiscard]] std::string Place(std::string_view key) const;
  [[nodiscard]] bool Has(std::string_view key) const;
  // Whether `key` is there, and a list.
  [[nodiscard]] bool IsList(std::string_view key) const;
  // Reports a problem at `key`, or at the table if the key is absent.
  void Report(std::string_view key, std::string_view problem);
  // Reports `key` as missing unless it is there.
  void Require(std::string_view key);
  // Reports every key that no getter asked for.
  void Finish();

 private:
  const toml::node* Take(std::string_view key);
  [[nodiscard]] std::string Qualified(std::string_view key) const;

  const toml::table* table_;
  std::shared_ptr<const toml::table> own_table_;  // of a string that stands for one
  std::string name_;
  toml::source_region place_;
  ConfigProblems* problems_;
  std::set<std::string, std::less<>> consumed_;
};

// The value of an enum whose words stand in its order; `otherwise` if the key is absent or wrong.
template <typename Enum>
Enum WordOr(TomlReader& reader, std::string_view key, std::span<const std::string_view> words,
            Enum otherwise) {
  const auto index = reader.Word(key, words);
  return index ? static_cast<Enum>(*index) : otherwise;
}

}  // namespace microvm
