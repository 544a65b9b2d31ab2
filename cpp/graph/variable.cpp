#include "graph/variable.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace lamina::graph {

namespace {
std::atomic<uint64_t> version{0};
}

uint64_t Variable::layout_version() { return version.load(std::memory_order_acquire); }

std::shared_ptr<Turns> Variable::turns_of(const std::vector<std::shared_ptr<Variable>>& variables) {
  std::shared_ptr<Turns> joined = variables.empty() ? std::make_shared<Turns>() : variables.front()->turns;
  for (const auto& v : variables) joined = Turns::join(joined, v->turns);
  return joined;
}

void Variable::pack(const std::vector<std::shared_ptr<Variable>>& variables) {
  const auto turns = turns_of(variables);
  const Turn turn(*turns);
  size_t total = 0;
  for (const auto& v : variables) total += align_up(v->bytes());
  auto storage = std::make_shared<AlignedBuffer>();
  storage->reset(total, [&] {
    const auto larger = [](const auto& a, const auto& b) { return a->bytes() < b->bytes(); };
    const auto& largest = *std::max_element(variables.begin(), variables.end(), larger);
    return text("all ", variables.size(), " parameters side by side; the largest: ", largest->describe());
  });
  size_t offset = 0;
  for (const auto& v : variables) {
    if (v->bytes() > 0) std::memcpy(storage->data() + offset, v->data(), v->bytes());
    v->storage_ = storage;
    v->offset_ = offset;
    offset += align_up(v->bytes());
  }
  version.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace lamina::graph
