// A block of a product, for one piece of k: groups of strips of B outermost, parts of the rows inside, then the panels of a group and
// the row tiles of A.
#pragma once

#include "kernels/gemm_pack.inl"
#include "kernels/gemm_policy.inl"
#include "kernels/gemm_tiles.inl"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// The tiles of one panel of columns, as far as they have some of the first `wanted` rows.
template <class T>
void run_panel(Product<T> p, const RowTiles& tiles, ptrdiff_t wanted, ptrdiff_t vectors, Aside<T>* aside) {
  const bool packed = p.a_step != p.a_row;
  const auto run = [&](ptrdiff_t rows, ptrdiff_t count) {
    const ptrdiff_t some = smaller(parts_of(wanted, rows), count);
    if (some <= 0) return;
    if (packed) p.a_col = rows;
    run_rows(p, int(rows), int(vectors), some, aside);
    p.a += some * rows * p.a_step;
    p.c += some * rows * p.c_row;
    if (p.start) p.start += some * rows * p.start_row;
    wanted -= some * rows;
  };
  run(tiles.rows + 1, tiles.taller);
  run(tiles.rows, tiles.others);
}

// Rows [0, m) in parts of at most `most`, or `grain`, which begin at multiples of it.
struct RowParts {
  ptrdiff_t m, grain, grains, count;

  RowParts(ptrdiff_t m_, ptrdiff_t grain_, ptrdiff_t most) : m(m_), grain(grain_), grains(1), count(1) {
    if (m <= most) return;
    grains = parts_of(m, grain);
    count = grain < most ? parts_of(grains, most / grain) : grains;
  }
  ptrdiff_t start(ptrdiff_t i) const { return i == 0 ? 0 : i == count ? m : grains * i / count * grain; }
};

// The product as it is: nothing is packed, handed out or far.
template <class T>
void run_plain(Product<T> p, const GemmArgs& g, const Panels<T>& panels) {
  const RowTiles tiles(g.m, most_rows(g.m));
  const T *b = p.b, *start = p.start;
  T* c = p.c;
  for (ptrdiff_t i = 0; i < panels.count; ++i) {
    const auto at = panels[i];
    p.b = b + at.column;
    p.c = c + at.column;
    if (start) p.start = start + at.column;
    p.b_last = p.c_last = at.last;
    run_panel<T>(p, tiles, smaller(at.end + g.diagonal, g.m), at.vectors, nullptr);
  }
}

// One piece of k and one block of rows.
template <class T>
class Block {
 public:
  Block(const Product<T>& whole, const GemmArgs& g, const Panels<T>& panels, ptrdiff_t row0, ptrdiff_t rows, bool last_piece)
      : whole_(whole),
        g_(g),
        panels_(panels),
        group_(strips_of<T>(g) * kStripPanels),
        parts_(rows, g.grain, g.finished ? part_rows<T>(g) : rows),
        row0_(row0),
        hands_out_(g.finished && last_piece),
        packs_b_(packs_b<T>(g)),
        keeps_b_(keeps_b<T>(g)) {
    whole_.a += row0 * g.a_row;
    if (whole_.start) whole_.start += row0 * whole_.start_row;
    if (g.in_parts)
      whole_.c_row = part_cols<T>(g);
    else
      whole_.c += row0 * g.c_row;
    aside_.far_c = kCopiesBeside && is_far_c<T>(g);
    whole_.asks_c = !kCopiesBeside && is_far_c<T>(g);
    T* room = static_cast<T*>(g.room);
    if (packs_a<T>(g)) {
      packed_a_ = room;
      room += room_of_a<T>(g);
      pack_a();
    }
    room_ = room;
    other_room_ = kCopiesBeside ? room + room_of_group<T>(g) : room;
  }

  void run() {
    for (ptrdiff_t first = 0; first < panels_.count; first += group_) run_group(first, end_of(first));
  }

 private:
  ptrdiff_t end_of(ptrdiff_t first) const { return smaller(first + group_, panels_.count); }

  // Steps aside of the tiles of so many rows in so many panels.
  ptrdiff_t steps_aside(ptrdiff_t rows, ptrdiff_t panels) const {
    return parts_of(rows, kTileRows) * panels * (whole_.k / kAsideEvery);
  }

  // Every how many steps comes one of `asks`, spread over most of them: a core waits for some twenty lines at a time, and what comes from
  // far takes its time.
  static ptrdiff_t spread(ptrdiff_t asks, ptrdiff_t steps) { return larger(steps * 7 / (8 * larger(asks, 1)), 1); }

  void pack_a() {
    for (ptrdiff_t i = 0; i < parts_.count; ++i) {
      Product<T> p = whole_;
      const ptrdiff_t row = parts_.start(i);
      p.a += row * p.a_row;
      pack_rows(packed_a_ + row * p.k, p, parts_.start(i + 1) - row);
    }
  }

  // Panels [first, last).
  void run_group(ptrdiff_t first, ptrdiff_t last) {
    if (packs_b_) {
      if constexpr (kCopiesBeside) {
        finish_copy(first, last);
        begin_copy(last);
      } else {
        const bool copies = row0_ == 0 || !keeps_b_;
        if (keeps_b_) room_ = other_room_ + panels_[first].column * whole_.k;  // each group has its own
        if (copies) pack_panels(room_, whole_, g_.b_col, panels_, first, last, 0);
        ask_for_next(last, copies);
      }
    }
    for (ptrdiff_t i = 0; i < parts_.count; ++i) run_part(first, last, parts_.start(i), parts_.start(i + 1));
  }

  // The next strips are copied meanwhile, where they have the usual shape, or at least asked for: spread over the tiles of this group
  // (256 x 2,048 x 2,048: 7 to 9 %).
  void begin_copy(ptrdiff_t first) {
    aside_.copies = aside_.strips = aside_.next.rows = 0;
    copied_ = 0;
    if (first == panels_.count) return;
    if (g_.b_col != 1) return ask_for_next(first, true);
    if (panels_.most == kTileVectors) copied_ = whole_panels(panels_, first, end_of(first));
    if (copied_) {
      aside_.from = whole_.b + panels_[first].column;
      aside_.from_row = whole_.b_row;
      aside_.to = other_room_;
      aside_.copies = whole_.k;
      aside_.strips = copied_ - 1;
      aside_.copied_every = spread(copied_ * whole_.k, steps_aside(parts_.m, group_));
    }
  }

  // What the group from panel `first` on is packed from is asked for meanwhile, or the group itself, where the first block of rows has
  // packed it: a copy waits for its lines (see docs/why_fast.md).
  void ask_for_next(ptrdiff_t first, bool packs) {
    aside_.next.rows = 0;
    if (first == panels_.count) return;
    const ptrdiff_t left = panels_[first].column, cols = panels_[end_of(first) - 1].end - left, size = sizeof(T);
    const auto strips = [](ptrdiff_t bytes) { return parts_of(bytes, kStripBytes); };
    const auto ask = [&](const T* at, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t of_row) {
      aside_.next = {reinterpret_cast<const char*>(at), row, rows, of_row, 0};
    };
    if (!packs) return ask(other_room_ + left * whole_.k, kStripBytes, strips(whole_.k * cols * size), 1);
    if (g_.b_col != 1) return ask(whole_.b + left * g_.b_col, g_.b_col * size, cols, strips(whole_.k * size));
    ask(whole_.b + left, whole_.b_row * size, whole_.k, strips(cols * size));
  }

  // The same by itself, as far as it is still to be done.
  void finish_copy(ptrdiff_t first, ptrdiff_t last) {
    T* const ready = other_room_;
    other_room_ = room_;
    room_ = ready;
    const ptrdiff_t whole = copied_ - aside_.strips - (aside_.copies > 0);    // strips that are copied
    const ptrdiff_t rows = aside_.copies > 0 ? whole_.k - aside_.copies : 0;  // of the next one
    first += whole;
    T* to = room_ + whole * kStripCols<T> * whole_.k;
    if (rows > 0) {
      pack_panels(to, whole_, g_.b_col, panels_, first, first + 1, rows);
      ++first;
      to += kStripCols<T> * whole_.k;
    }
    pack_panels(to, whole_, g_.b_col, panels_, first, last, 0);
  }

  void run_part(ptrdiff_t first, ptrdiff_t last, ptrdiff_t row, ptrdiff_t end) {
    Product<T> p = whole_;
    p.a += row * p.a_row;
    if (packed_a_) {
      p.a = packed_a_ + row * p.k;
      p.a_row = 1;
      p.a_step = p.k;
    }
    const ptrdiff_t left = panels_[first].column, right = panels_[last - 1].end;
    T* const c = g_.in_parts ? whole_.c : whole_.c + row * p.c_row + left;
    const T* const start = whole_.start ? whole_.start + row * p.start_row : nullptr;
    const bool asked = hands_out_ && ask_for_far(left, right, row, end - row);
    const RowTiles tiles(end - row, most_rows(g_.m));
    const T* packed = room_;
    for (ptrdiff_t i = first; i < last; ++i) {
      const auto at = panels_[i];
      p.c = c + at.column - left;
      if (start) p.start = start + at.column;
      p.c_last = at.last;
      if (packs_b_) {
        p.b = packed;
        p.b_row = at.vectors * kLanes<T>;
        p.b_last = p.b_row - kLanes<T>;
        packed += p.k * p.b_row;
      } else {
        p.b = whole_.b + at.column;
        p.b_last = at.last;
      }
      const ptrdiff_t wanted = at.end + g_.diagonal - row0_ - row;  // rows that have an element in these columns
      run_panel(p, tiles, smaller(wanted, end - row), at.vectors, &aside_);
    }
    if (hands_out_) g_.finished(g_.context, {row0_ + row, row0_ + end, left, right, c, p.c_row, asked});
  }

  // Spread over the part's tiles, whose panels of B are waited for as well. Whether there is time for all.
  bool ask_for_far(ptrdiff_t left, ptrdiff_t right, ptrdiff_t row, ptrdiff_t rows) {
    const ptrdiff_t size = sizeof(T), strips = parts_of((right - left) * size, kStripBytes);
    const ptrdiff_t asks = g_.far_count * rows * strips;
    const ptrdiff_t steps = steps_aside(rows, parts_of(right - left, kTileVectors * kLanes<T>));
    aside_.every = spread(asks, steps);
    aside_.waiting = 0;
    for (aside_.left = 0; aside_.left < g_.far_count; ++aside_.left) {
      const GemmArgs::Far& far = g_.far[aside_.left];
      aside_.far[aside_.left] = {static_cast<const char*>(far.at) + (row0_ + row) * far.row + left * size, far.row, rows, strips,
                                 0};
    }
    return asks <= steps;
  }

  Product<T> whole_;
  const GemmArgs& g_;
  const Panels<T> panels_;
  const ptrdiff_t group_;  // panels
  const RowParts parts_;
  const ptrdiff_t row0_;
  const bool hands_out_, packs_b_, keeps_b_;
  T *packed_a_ = nullptr, *room_ = nullptr, *other_room_ = nullptr;
  Aside<T> aside_;
  ptrdiff_t copied_ = 0;  // strips of the next group that are copied meanwhile
};

LAMINA_KERNELS_END
