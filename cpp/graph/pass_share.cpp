// Equal nodes are computed once.
#include <algorithm>
#include <bit>
#include <functional>
#include <unordered_map>

#include "graph/rewrite.h"

namespace lamina::graph {

namespace {

// Numbers bit by bit: 0 and -0 are equal, but 1 / 0 and 1 / -0 are not.
bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  const auto same = [](double x, double y) { return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

bool same_attrs(const Attrs& a, const Attrs& b) {
  const auto same = [](const auto& x, const auto& y) {
    if (x.first != y.first || x.second.index() != y.second.index()) return false;
    if (const auto* number = std::get_if<double>(&x.second)) return same_bits({*number}, {std::get<double>(y.second)});
    if (const auto* numbers = std::get_if<std::vector<double>>(&x.second))
      return same_bits(*numbers, std::get<std::vector<double>>(y.second));
    return x.second == y.second;
  };
  return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), same);
}

}  // namespace

Roots share(Roots roots) {
  std::unordered_map<size_t, Tensors> known;
  const auto rule = [&](const Node& node, const Tensors& in) -> Tensor {
    if (node.op->kind == Kind::effect || node.is("input")) return nullptr;
    size_t hash = std::hash<const void*>()(node.op);
    for (const Tensor& x : in) hash = hash * 1000003 + std::hash<const void*>()(x.get());
    for (const Tensor& other : known[hash])
      if (other->op == node.op && other->inputs == in && other->type == node.type && same_attrs(other->attrs, node.attrs))
        return other;
    known[hash].push_back(rebuild(node, in));
    return known[hash].back();
  };
  return rewrite(roots, rule);
}

}  // namespace lamina::graph
