#include "kernels/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "base/cpu.h"

namespace lamina::kernels {

#if defined(__x86_64__)
namespace base {
extern const Table table;
}
namespace avx2 {
extern const Table table;
}
#if !defined(LAMINA_WITHOUT_AVX512)
namespace avx512 {
extern const Table table;
}
#endif
#else
namespace neon {
extern const Table table;
}
#endif

namespace {

struct Candidate {
  const Table* table;
  bool supported;
};

// Best first.
std::vector<Candidate> candidates() {
#if defined(__x86_64__)
  const CpuFeatures& cpu = cpu_features();
  return {
#if !defined(LAMINA_WITHOUT_AVX512)
      {&avx512::table, cpu.avx512},
#endif
      {&avx2::table, cpu.avx2},
      {&base::table, cpu.x86_64_v2}};
#else
  return {{&neon::table, true}};  // part of the architecture
#endif
}

std::atomic<const Table*> selected{nullptr};

std::string supported_names() {
  std::string text;
  for (const Table* t : supported_tables()) text += (text.empty() ? "" : ", ") + std::string(t->isa);
  return text;
}

const Table& find(const std::string& name) {
  const std::string got = ", got '" + name + "'; leave it out for the best one";
  for (const Candidate& c : candidates()) {
    if (name != c.table->isa) continue;
    if (c.supported) return *c.table;
    throw std::invalid_argument("[LAMINA_ISA] expected an instruction set that this processor has (" + supported_names() + ")" +
                                got);
  }
  throw std::invalid_argument("[LAMINA_ISA] expected one of " + supported_names() + got);
}

const Table& choose() {
  const char* forced = std::getenv("LAMINA_ISA");
  if (forced != nullptr && *forced != '\0') return find(forced);
  const std::vector<const Table*> all = supported_tables();
  if (all.empty())
    throw std::invalid_argument("[LAMINA_ISA] this processor is older than x86-64-v2 (SSE 4.2), the least that lamina runs on");
  return *all.front();
}

}  // namespace

const Table& table() {
  const Table* current = selected.load(std::memory_order_acquire);
  if (current == nullptr) {
    current = &choose();
    selected.store(current, std::memory_order_release);
  }
  return *current;
}

std::vector<const Table*> supported_tables() {
  std::vector<const Table*> tables;
  for (const Candidate& c : candidates())
    if (c.supported) tables.push_back(c.table);
  return tables;
}

void select(const std::string& name) { selected.store(&find(name), std::memory_order_release); }

const TileEntry& find_tile(const Table& table, const std::string& name) {
  for (int i = 0; i < table.tile_count; ++i)
    if (name == table.tiles[i].name) return table.tiles[i];
  throw std::invalid_argument("no kernel is called '" + name + "'");
}

const RuleEntry* find_rule(const Table& table, const std::string& name) {
  for (int i = 0; i < table.rule_count; ++i)
    if (name == table.rules[i].name) return &table.rules[i];
  return nullptr;
}

}  // namespace lamina::kernels
