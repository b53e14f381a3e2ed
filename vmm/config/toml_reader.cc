// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/toml_reader.h"

#include <algorithm>
#include <charconv>

#include "vmm/config/closest_word.h"
#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

// What a size says, or why it is none.
struct ParsedSize {
  std::uint64_t bytes = 0;
  bool has_unit = false;
  std::string problem = {};
};

// "128M", 134217728.
ParsedSize ParseSize(const toml::node& node) {
  ParsedSize size;
  if (const auto* number = node.as_integer()) {
    if (number->get() > 0) size.bytes = static_cast<std::uint64_t>(number->get());
    return size;
  }
  const auto* value = node.as_string();
  const std::string text = value == nullptr ? "" : value->get();
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, size.bytes);
  const std::string_view suffix(end, static_cast<std::size_t>(last - end));
  unsigned shift = 0;
  if (suffix == "K") shift = 10;
  if (suffix == "M") shift = 20;
  if (suffix == "G") shift = 30;
  size.has_unit = shift != 0;
  if (error == std::errc::invalid_argument) {
    size.problem = "must be a size such as \"128M\", or a number of bytes";
  } else if (shift == 0 && !suffix.empty()) {
    size.problem = "\"" + text + "\": only K, M or G may stand behind its digits";
  } else if (error != std::errc() || size.bytes > (UINT64_MAX >> shift)) {
    size.problem = "does not fit in 64 bits";
  }
  size.bytes <<= shift;
  return size;
}

std::string FormatSize(std::uint64_t bytes) {
  if (bytes % (1ULL << 30) == 0) return std::to_string(bytes >> 30) + "G";
  if (bytes % (1ULL << 20) == 0) return std::to_string(bytes >> 20) + "M";
  if (bytes % (1ULL << 10) == 0) return std::to_string(bytes >> 10) + "K";
  return std::to_string(bytes);
}

std::string FormatRange(std::int64_t minimum, std::int64_t maximum) {
  return "must be an integer from " + std::to_string(minimum) + " to " + std::to_string(maximum);
}

void AppendString(std::vector<std::byte>& bytes, std::string_view text) {
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  bytes.push_back(std::byte{0});
}

// "00 0a 35": pairs of hexadecimal digits, apart or not.
std::optional<std::vector<std::byte>> ParseBytes(std::string_view text) {
  std::vector<std::byte> bytes;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    unsigned value = 0;
    const char* const first = text.data() + at;
    if (text.size() - at < 2 || std::from_chars(first, first + 2, value, 16).ptr != first + 2) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<std::byte>(value));
    at += 2;
  }
  return bytes;
}

// Appends one string or cell; false if it is neither.
bool AppendValue(std::vector<std::byte>& bytes, const toml::node& node) {
  if (const auto* text = node.as_string()) {
    if (text->get().find('\0') != std::string::npos) return false;
    AppendString(bytes, text->get());
    return true;
  }
  const auto* number = node.as_integer();
  if (number == nullptr || number->get() < 0 || number->get() > UINT32_MAX) return false;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::byte>(number->get() >> shift));
  }
  return true;
}

// The value of a device tree property; nothing if it is none.
std::optional<std::vector<std::byte>> ParseProperty(const toml::node& node) {
  std::vector<std::byte> bytes;
  if (const auto* flag = node.as_boolean())
    return flag->get() ? std::optional(bytes) : std::nullopt;
  if (const toml::table* table = node.as_table()) {
    const toml::node* value = table->get("bytes");
    if (table->size() != 1 || value == nullptr || value->as_string() == nullptr)
      return std::nullopt;
    return ParseBytes(value->as_string()->get());
  }
  const toml::array* array = node.as_array();
  if (array == nullptr) return AppendValue(bytes, node) ? std::optional(bytes) : std::nullopt;
  for (const toml::node& element : *array) {
    if (element.type() != array->front().type() || !AppendValue(bytes, element))
      return std::nullopt;
  }
  return array->empty() ? std::nullopt : std::optional(bytes);
}

// Devicetree Specification 2.2.4.1, with the capitals that Linux's trees use.
bool IsPropertyName(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(",._+?#-").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string ConfigProblems::Place(const toml::source_region& place) const {
  // A table that is not in the file has no place of its own; it belongs at the top.
  return file_ + ":" + std::to_string(std::max<std::uint32_t>(place.begin.line, 1)) + ":" +
         std::to_string(std::max<std::uint32_t>(place.begin.column, 1));
}

void ConfigProblems::Add(const toml::source_region& place, std::string_view key,
                         std::string_view problem) {
  std::string text(key);
  if (!text.empty()) text += ": ";
  text += problem;
  // A table that is not in the file has no place of its own; it belongs at the top.
  problems_.push_back({std::max<std::uint32_t>(place.begin.line, 1),
                       std::max<std::uint32_t>(place.begin.column, 1), std::move(text)});
}

void ConfigProblems::ThrowIfAny() const {
  if (problems_.empty()) return;
  std::vector<Problem> sorted = problems_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::string text;
  for (const Problem& problem : sorted) {
    if (!text.empty()) text += '\n';
    text += file_ + ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column) +
            ": " + problem.text;
  }
  throw ConfigError(text);
}

TomlReader::TomlReader(const toml::table* table, std::string name, toml::source_region place,
                       ConfigProblems& problems)
    : table_(table), name_(std::move(name)), place_(std::move(place)), problems_(&problems) {}

const toml::node* TomlReader::Take(std::string_view key) {
  consumed_.emplace(key);
  return table_ == nullptr ? nullptr : table_->get(key);
}

std::string TomlReader::Qualified(std::string_view key) const {
  return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
}

std::string TomlReader::Place(std::string_view key) const {
  const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
  return problems_->Place(node == nullptr ? place_ : node->source()) + ": " + Qualified(key);
}

bool TomlReader::Has(std::string_view key) const {
  return table_ != nullptr && table_->contains(key);
}

bool TomlReader::IsList(std::string_view key) const {
  const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
  return node != nullptr && node->is_array();
}

void TomlReader::Report(std::string_view key, std::string_view problem) {
  const toml::node* node = table_ == nullptr || own_table_ ? nullptr : table_->get(key);
  problems_->Add(node == nullptr ? place_ : node->source(), Qualified(key), problem);
}

void TomlReader::Require(std::string_view key) {
  if (!Has(key)) Report(key, "missing");
}

std::optional<std::string> TomlReader::String(std::string_view key) {
  const toml::node* node = Take(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_string()) {
    if (value->get().find('\0') == std::string::npos) return value->get();
    Report(key, "must not contain a NUL character");
    return std::nullopt;
  }
  Report(key, "must be a string");
  return std::nullopt;
}

std::optional<bool> TomlReader::Bool(std::string_view key) {
  const toml::node* node = Take(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  Report(key, "must be true or false");
  return std::nullopt;
}

std::optional<std::int64_t> TomlReader::Integer(std::string_view key, std::int64_t minimum,
                                                std::int64_t maximum) {
  const toml::node* node = Take(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value != nullptr && value->get() >= minimum && value->get() <= maximum) return value->get();
  Report(key, FormatRange(minimum, maximum));
  return std::nullopt;
}

std::optional<std::uint64_t> TomlReader::Size(std::string_view key, std::uint64_t unit_bytes) {
  const toml::node* node = Take(key);
  if (node == nullptr) return std::nullopt;
  ParsedSize size = ParseSize(*node);
  if (size.problem.empty() && size.bytes == 0) size.problem = "must be more than 0";
  if (size.problem.empty() && size.bytes % unit_bytes != 0) {
    size.problem = "must be a multiple of " + FormatSize(unit_bytes) +
                   (size.has_unit ? "" : "; without K, M or G it counts bytes");
  }
  if (size.problem.empty()) return size.bytes;
  Report(key, size.problem);
  return std::nullopt;
}

std::vector<std::int64_t> TomlReader::Integers(std::string_view key, std::int64_t minimum,
                                               std::int64_t maximum) {
  std::vector<std::int64_t> result;
  const toml::node* node = Take(key);
  if (node == nullptr) return result;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    Report(key, "must be a list of integers");
    return result;
  }
  for (const toml::node& element : *array) {
    const auto* value = element.as_integer();
    if (value != nullptr && value->get() >= minimum && value->get() <= maximum) {
      result.push_back(value->get());
    } else {
      problems_->Add(element.source(), Qualified(key), FormatRange(minimum, maximum));
    }
  }
  return result;
}

std::vector<std::int64_t> TomlReader::IntegerOrList(std::string_view key, std::int64_t minimum,
                                                    std::int64_t maximum) {
  if (!Has(key) || IsList(key)) return Integers(key, minimum, maximum);
  const auto value = Integer(key, minimum, maximum);
  return value ? std::vector<std::int64_t>{*value} : std::vector<std::int64_t>();
}

std::vector<std::pair<std::string, std::vector<std::byte>>> TomlReader::Properties(
    std::string_view key, std::span<const std::string_view> reserved) {
  std::vector<std::pair<std::string, std::vector<std::byte>>> result;
  const toml::node* node = Take(key);
  if (node == nullptr) return result;
  const toml::table* table = node->as_table();
  if (table == nullptr) {
    Report(key, "must be a table of property = value");
    return result;
  }
  for (const auto& [name, element] : *table) {
    const std::string where = Qualified(key) + "." + std::string(name.str());
    const toml::source_region& place = element.source();
    const auto report = [&](std::string_view problem) { problems_->Add(place, where, problem); };
    const auto value = ParseProperty(element);
    if (!IsPropertyName(name.str())) {
      report("is no name of a property");
    } else if (std::find(reserved.begin(), reserved.end(), name.str()) != reserved.end()) {
      report("is decided by the plan");
    } else if (!value) {
      report("must be a string, a 32-bit cell, a list of either, true, or { bytes = \"00 0a\" }");
    } else {
      result.emplace_back(name.str(), *value);
    }
  }
  return result;
}

std::vector<std::string> TomlReader::Strings(std::string_view key) {
  std::vector<std::string> result;
  const toml::node* node = Take(key);
  if (node == nullptr) return result;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    Report(key, "must be a list of strings");
    return result;
  }
  for (const toml::node& element : *array) {
    if (const auto* value = element.as_string()) {
      result.push_back(value->get());
    } else {
      problems_->Add(element.source(), Qualified(key), "must be a string");
    }
  }
  return result;
}

std::vector<std::pair<std::string, std::int64_t>> TomlReader::NamedIntegers(std::string_view key,
                                                                            std::int64_t minimum,
                                                                            std::int64_t maximum) {
  std::vector<std::pair<std::string, std::int64_t>> result;
  const toml::node* node = Take(key);
  if (node == nullptr) return result;
  const toml::table* table = node->as_table();
  if (table == nullptr) {
    Report(key, "must be a table of name = integer");
    return result;
  }
  for (const auto& [name, element] : *table) {
    const auto* value = element.as_integer();
    if (value != nullptr && value->get() >= minimum && value->get() <= maximum) {
      result.emplace_back(name.str(), value->get());
    } else {
      problems_->Add(element.source(), Qualified(key) + "." + std::string(name.str()),
                     FormatRange(minimum, maximum));
    }
  }
  return result;
}

std::optional<std::size_t> TomlReader::Word(std::string_view key,
                                            std::span<const std::string_view> words) {
  const toml::node* node = Take(key);
  if (node == nullptr) return std::nullopt;
  std::string list;
  const auto* value = node->as_string();
  for (std::size_t index = 0; index < words.size(); ++index) {
    if (value != nullptr && value->get() == words[index]) return index;
    list += (list.empty() ? "\"" : ", \"") + std::string(words[index]) + "\"";
  }
  Report(key, "must be one of " + list);
  return std::nullopt;
}

TomlReader TomlReader::Table(std::string_view key) {
  const toml::node* node = Take(key);
  if (node == nullptr) return {nullptr, Qualified(key), place_, *problems_};
  if (node->as_table() == nullptr) Report(key, "must be a table");
  return {node->as_table(), Qualified(key), node->source(), *problems_};
}

std::vector<TomlReader> TomlReader::Tables(std::string_view key) {
  return TablesOrStrings(key, "");
}

std::vector<TomlReader> TomlReader::TablesOrStrings(std::string_view key,
                                                    std::string_view shorthand) {
  std::vector<TomlReader> result;
  const toml::node* node = Take(key);
  if (node == nullptr) return result;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    Report(key, shorthand.empty() ? "must be a list of tables: [[" + Qualified(key) + "]]"
                                  : "must be a list of strings or tables");
    return result;
  }
  for (const toml::node& element : *array) {
    if (const toml::table* table = element.as_table()) {
      result.emplace_back(table, Qualified(key), element.source(), *problems_);
    } else if (const auto* text = element.as_string(); text != nullptr && !shorthand.empty()) {
      const auto own = std::make_shared<toml::table>();
      own->insert(shorthand, text->get());
      result.emplace_back(own.get(), Qualified(key), element.source(), *problems_);
      result.back().own_table_ = own;
    } else {
      problems_->Add(element.source(), Qualified(key),
                     shorthand.empty() ? "must be a table" : "must be a string or a table");
    }
  }
  return result;
}

void TomlReader::Finish() {
  if (table_ == nullptr) return;
  for (const auto& [key, node] : *table_) {
    if (consumed_.contains(key.str())) continue;
    const std::string similar = ClosestWord(key.str(), {consumed_.begin(), consumed_.end()});
    problems_->Add(
        key.source(), Qualified(key.str()),
        similar.empty() ? "unknown key" : "unknown key; did you mean '" + similar + "'?");
  }
}

}  // namespace microvm
