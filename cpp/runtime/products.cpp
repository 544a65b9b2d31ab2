#include "runtime/products.h"

#include <algorithm>

#include "graph/build.h"

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

// Whether it is repeated for all rows.
bool is_row(const Shape& shape, const Shape& whole) {
  return !shape.empty() && shape.back() == whole.back() &&
         std::all_of(shape.begin(), shape.end() - 1, [](const Dim& length) { return length == Dim(1); });
}

Product product_of(const Node* node) {
  if (node->op->kind == Kind::matmul) return {node, nullptr};
  if (!node->is("add")) return {};
  for (size_t i = 0; i < 2; ++i) {
    const Node *product = node->inputs[i].get(), *row = node->inputs[1 - i].get();
    if (product->op->kind != Kind::matmul || is_gram(product) || product == row) continue;
    if (product->shape() == node->shape() && row->dtype() == product->dtype() && is_row(row->shape(), node->shape()))
      return {product, row};
  }
  return {};
}

}  // namespace

bool is_gram(const Node* product) {
  const Node *a = product->inputs[0].get(), *b = product->inputs[1].get();
  const auto turns = [](const Node* view, const Node* x) {
    if (!view->is("transpose") || view->inputs[0].get() != x) return false;
    return view->attrs.get<std::vector<int64_t>>("axes") == graph::swapped_last(x->shape().size());
  };
  return turns(a, b) || turns(b, a);
}

bool is_multiplied(const Products& products, const Node* node, const Node* user) {
  const auto found = products.find(user);
  return found != products.end() && found->second.matmul == node;
}

Products find_products(const std::vector<const Node*>& order, const std::unordered_set<const Node*>& wanted, const Users& users) {
  Products products;
  for (const Node* node : order) {
    const Product found = product_of(node);
    if (found.matmul != nullptr) products[node] = found;
  }
  for (const Node* node : order) {
    const auto found = users.find(node);
    const auto multiplies = [&](const Node* user) { return is_multiplied(products, node, user); };
    if (found != users.end() && wanted.count(node) == 0 && std::all_of(found->second.begin(), found->second.end(), multiplies))
      products.erase(node);
  }
  return products;
}

}  // namespace lamina::runtime
