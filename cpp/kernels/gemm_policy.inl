// How a product is cut and what of it is packed: all that follows from its sizes and strides.
#pragma once

#include "base/cpu.h"
#include "kernels/gemm_tiles.inl"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// A panel of B is reused by every row tile, so k is taken in pieces whose panel stays near: within an L1 of 32 KB for the narrow tiles
// (a quarter to three quarters of it were 1 to 2 % slower: C is read and written once a piece), in L2 for the others, which do 24
// multiply-adds for each 4 loads of B. Twice as much of it pays where C is too large to be near (2 to 4 % on 2,048 by 2,048), and half
// of it where rows are few, if nothing waits for the whole sums (32 x 1024 x 1024 in f32 820 -> 620 us, 100 x 2048 x 2048 2 to 5 %).
constexpr ptrdiff_t kHalfPieceBelow = 256, kDoublePieceFrom = 1024;
constexpr ptrdiff_t kPanelBytes = kWide ? 256 << 10 : kRegisters == 32 ? 128 << 10 : 32 << 10;
constexpr ptrdiff_t kPiece = kPanelBytes / (kTileVectors * kVectorBytes);

// Rows of A, a piece of k of which stays in L2. Wide tiles read it as fast from L3, of which others want their share: an eighth, and
// no fewer rows than pay for B, all of which is copied again for each block. 2,048 by 2,048 in f64, eight blocks: on Zen 4 (L3 of 32 MB,
// all of which A is) 5 % faster than one (f32: 4 %), of an A that is packed 5 to 20 % faster than four; on Emerald Rapids, whose L3 is
// far larger, four were 3 to 7 % slower than one.
constexpr ptrdiff_t kPackedBytes = 4 << 20;
template <class T>
constexpr ptrdiff_t kPackedRows = kWide ? kPackedBytes / (kPiece * ptrdiff_t(sizeof(T))) : 256;
constexpr ptrdiff_t kBlockRows = kWide ? 2048 : 256, kFewestBlockRows = 256;
constexpr ptrdiff_t kShareOfCache = 8;

// Narrow tiles have no time for anything beside their multiply-adds where the core is shared: what copies beside them, or asks
// for C, took up to a quarter of the time of 256 x 512 x 512. They copy before, a B that several blocks of rows read once for all, and
// meanwhile ask for what is copied, or read, next.
constexpr bool kCopiesBeside = kCopiedVectors > 0;

// Rows of B that lie some power of two apart fall into a few sets of the cache and push each other out, each on a page of its own.
// Dense copies of panels pay from about five row tiles on. Measured: with 6x2 tiles 91 % of the ceiling instead of 80, but 5 % less at
// strides under 1 KB; with the wide tiles, which have four lines of each row and copy meanwhile, nothing on Zen 4 up to 2 KB, on
// Emerald Rapids 9 % at 2 KB. From 1 KB on they pay there where rows lie on small pages, as an array's from outside do (256 x 256 x 256:
// 13 to 24 %), or come from beyond L2 (11 %). Where rows do not begin with a line, a vector costs two: 1 % where B is larger than L2.
//
// Narrow tiles copy nothing beside (kCopiesBeside), so that more rows have to pay for it where B is near, most where its rows do not meet
// in a few sets. On Zen 3 in f32, without a copy: 32 x 128 x 784 44 -> 65 GFLOP/s, 32 x 256 x 256 48 -> 64; with one: 32 x 512 x 512
// 52 -> 60, 64 x 256 x 512 59 -> 70, 80 x 300 x 500 64 -> 68; whole pages apart, 32 x 1024 x 1024 23 -> 40.
constexpr ptrdiff_t kPackRows = 32;
constexpr ptrdiff_t kPackRowsThatMeet = 48, kPackRowsOfNear = 64;
constexpr ptrdiff_t kMeet = 1024, kPage = 4096;  // bytes: of which multiples rows meet, or begin on pages of their own
constexpr ptrdiff_t kPackStride = kWide ? 2048 : kRegisters == 32 ? 4096 : 1024;
constexpr ptrdiff_t kPackFarStride = kWide ? 1024 : kPackStride;
constexpr ptrdiff_t kLargeB = 1 << 20;

// A block of C that is not near any more when the next piece of k comes to it, or whose lines have to be fetched to be written.
constexpr ptrdiff_t kFarC = 512 << 10;

// A part of C is some rows of a group of strips: as many strips as leave what is read again for each part in L2 (memory likes long
// rows), as many rows as leave the part in L1. Where k is short, the update behind a part takes as long as its product, and its rows are
// to be longer: by Adam on Emerald Rapids 784-512-10 of 32 samples takes 0.88 of its time, 1024-1024-10 of 64 0.90, of 96 as long.
constexpr ptrdiff_t kGroupStrips = 4;
constexpr ptrdiff_t kGroupBytes = 384 << 10;
constexpr ptrdiff_t kMostGroupStrips = 16, kLongGroupBytes = 128 << 10;
constexpr ptrdiff_t kPartBytes = 24 << 10;
constexpr ptrdiff_t kOneBlockRows = 2 * kTileRows;  // no more are one block: their tiles have other shapes

template <class T>
ptrdiff_t bytes_of(ptrdiff_t elements) {
  return elements * ptrdiff_t(sizeof(T));
}

// Some rows of C and a B that comes from memory, with rows on pages of their own: reading it takes longest, and memory likes long runs.
// Many strips are packed at once, from pieces of k so short that they stay near. One tile of rows reads it as it is, asking ahead, up to
// where that takes longer (8 x 2048 x 2048 in f64 2.9 -> 1.7 ms, 8 x 3072 x 3072 7.3 -> 8.2); more than these spend their time otherwise,
// and would read C too often.
constexpr ptrdiff_t kFarB = 8 << 20, kFarthestB = 64 << 20;
constexpr ptrdiff_t kFarStrips = 8;
constexpr ptrdiff_t kFewestFar = 3, kMostFar = kWide ? 64 : 16;
template <class T>
bool is_far_b(const GemmArgs& g) {
  const bool some = g.m >= kFewestFar && g.m <= kMostFar && !g.finished && !g.adds && g.b_col == 1;
  const ptrdiff_t bytes = bytes_of<T>(g.k * g.n), far = kWholeLines && g.m <= kOneTileRows ? kFarthestB + 1 : kFarB;
  return some && bytes_of<T>(g.b_row) >= kPage && bytes >= far;
}

template <class T>
ptrdiff_t piece_of(const GemmArgs& g) {
  if (is_far_b<T>(g)) return kPiece / kFarStrips;
  if (!kWide) return kPiece;
  const bool alone = !g.finished && !g.adds;
  return g.m >= kDoublePieceFrom ? 2 * kPiece : g.m < kHalfPieceBelow && alone ? kPiece / 2 : kPiece;
}

template <class T>
bool is_large_b(const GemmArgs& g) {
  return bytes_of<T>(g.k * g.n) >= kLargeB;
}

// A long k, whatever the distance of B's rows: by the time that a panel is read again, narrow tiles have filled L1 with what was between,
// most of all where each column of A takes a line. On Zen 3 in f32, medians of GFLOP/s: a^T b of 64 x 4096 x 128 57 -> 65, 128 x 4096 x
// 128 46 -> 58, 100 x 400 x 100 58 -> 63; at best 64 x 256 x 64 97 -> 91.
constexpr ptrdiff_t kPackDepth = 256, kFewestPackedPanels = 2;
template <class T>
bool packs_deep_b(const GemmArgs& g) {
  if (kWide || g.k < kPackDepth || bytes_of<T>(g.b_row) < kFewestPackedPanels * kTileVectors * kVectorBytes) return false;
  return g.m >= (is_large_b<T>(g) ? kPackRows : g.a_row == 1 ? kPackRowsOfNear : 2 * kPackRowsOfNear);
}

template <class T>
[[gnu::noinline]] bool packs_b(const GemmArgs& g) {  // once for all who ask, as room_for_packing(): 4 KB of the wheel
  if (g.b_col != 1 || is_far_b<T>(g)) return true;
  if (g.k == 0) return false;
  const ptrdiff_t apart = bytes_of<T>(g.b_row);
  const bool large = is_large_b<T>(g), torn = large && apart % kLineBytes != 0;
  const ptrdiff_t fewest = kCopiesBeside || large || apart % kPage == 0 ? kPackRows
                           : apart % kMeet == 0                         ? kPackRowsThatMeet
                                                                        : kPackRowsOfNear;
  return packs_deep_b<T>(g) || (g.m >= fewest && (torn || apart >= (large || !g.finished ? kPackFarStride : kPackStride)));
}

// A B that no more than a few tiles read, and not from near: its next rows are asked for, as no processor guesses them where they lie on
// pages of their own. In f64 8 x 512 x 512 102 -> 83 us, 16 x 256 x 256 33 -> 24, 8 x 1000 x 1000 490 -> 330.
constexpr ptrdiff_t kAskedBytes = 64 << 10;
constexpr ptrdiff_t kAskedRows = 6;
constexpr ptrdiff_t kAskedPages = 512;  // that may be passed by before the next panel comes to them: as many are translated quickly
template <class T>
bool asks_ahead(const GemmArgs& g) {
  return kWholeLines && g.m <= 2 * kOneTileRows && g.b_col == 1 && bytes_of<T>(g.k * g.n) >= kAskedBytes && !packs_b<T>(g);
}

template <class T>
ptrdiff_t pieces_of(const GemmArgs& g) {
  const bool on_pages = asks_ahead<T>(g) && bytes_of<T>(g.b_row) >= kPage && !g.adds;
  const bool reuses = g.m > kOneTileRows || packs_b<T>(g);  // whether anything is used more than once
  const ptrdiff_t most = reuses ? piece_of<T>(g) : on_pages ? kAskedPages : g.k;
  return g.k > most ? parts_of(g.k, most) : 1;
}

// A is packed where neighbours of a row of A^T lie kilobytes apart (they meet in few lines of L1, and need a page each), or half a
// kilobyte where a column has as many lines as L1 has ways; for narrow tiles, which read it often, also where its rows are as long. Wide
// tiles from half a kilobyte on: a^T b of 100 x 1024 x 1024 in f64 3.6 -> 3.1 ms, 256 x 784 x 1000 in f32 2.8 -> 2.5; with a finished
// part, a step of 30-256-256-1 would take 1 to 4 % longer. Narrow tiles of few columns,
// but of two panels, where all rows meet in the same lines: 512 x 512 x 20 in f64 21 -> 30 GFLOP/s on Zen 3; one panel costs a fifth.
template <class T>
bool packs_a(const GemmArgs& g) {
  if (g.m < 2 * kTileRows || g.k == 1) return false;
  const ptrdiff_t apart = bytes_of<T>(g.a_row == 1 ? g.a_col : g.a_row);
  if (kWide) {
    const ptrdiff_t strips = g.n / kStripCols<T>;
    return g.a_row == 1 && (apart >= kPage ? strips >= 1 : apart >= (g.finished ? 2048 : 512) && strips >= 4);
  }
  if (g.a_row == 1) {
    const bool meet = apart % kPage == 0 && g.n > kTileVectors * kLanes<T>;
    return (apart >= 2048 && (g.n >= 64 || meet)) || (apart >= 512 && g.n >= 128 && g.k >= 128);
  }
  return g.a_col == 1 && apart >= kPage && g.n >= 512;
}

template <class T>
ptrdiff_t block_rows(const GemmArgs& g) {
  const ptrdiff_t most = packs_a<T>(g) ? kPackedRows<T> : kBlockRows;
  const ptrdiff_t share = kWide && g.m > kFewestBlockRows && g.k > 0 ? cpu_features().last_cache / kShareOfCache : 0;
  if (share == 0) return most;
  const ptrdiff_t rows = share / bytes_of<T>(smaller(g.k, piece_of<T>(g)));
  return smaller(rows < kFewestBlockRows ? kFewestBlockRows : rows, most);
}

template <class T>
bool keeps_b(const GemmArgs& g) {
  return !kCopiesBeside && packs_b<T>(g) && g.m > block_rows<T>(g);
}

template <class T>
bool is_far_c(const GemmArgs& g) {
  return !g.in_parts && bytes_of<T>(smaller(g.m, block_rows<T>(g)) * g.n) >= kFarC;
}

// Whether nothing is to be done but to multiply.
template <class T>
bool is_plain(const GemmArgs& g) {
  return g.m <= block_rows<T>(g) && !g.finished && !packs_b<T>(g) && !packs_a<T>(g) && !is_far_c<T>(g);
}

// Strips of a group: one, where nothing is handed out.
template <class T>
ptrdiff_t strips_of(const GemmArgs& g) {
  if (is_far_b<T>(g)) return kFarStrips;
  if (!g.finished || g.k == 0) return 1;
  const ptrdiff_t strip = smaller(g.k, kPiece) * kStripBytes, near = kGroupBytes / strip;
  return larger(larger(smaller(near, kGroupStrips), smaller(kLongGroupBytes / strip, kMostGroupStrips)), 1);
}

template <class T>
ptrdiff_t part_cols(const GemmArgs& g) {
  return smaller(g.n, strips_of<T>(g) * kStripCols<T>);
}

// Rows of a part, but for their grain.
template <class T>
ptrdiff_t part_rows(const GemmArgs& g) {
  return kPartBytes / bytes_of<T>(part_cols<T>(g));
}

// Whether C is handed out in parts, and not as a whole once it is multiplied another way.
template <class T>
bool has_parts(const GemmArgs& g) {
  return g.m > kOneBlockRows && g.n >= kLanes<T> && g.k != 1;
}

// Elements of the largest part: as many as kPartBytes hold, whatever its columns, or those of a grain's rows. Enough for a last block
// too, which may be handed out as a whole: of few rows, or few columns.
template <class T>
ptrdiff_t part(const GemmArgs& g) {
  if (!has_parts<T>(g)) return g.m * g.n;
  const ptrdiff_t cols = part_cols<T>(g), most = kPartBytes / ptrdiff_t(sizeof(T));
  const ptrdiff_t largest = smaller(larger(most, g.grain * cols), g.m * cols);
  return larger(largest, larger(kOneBlockRows * g.n, g.m * (kLanes<T> - 1)));
}

// Where blocks of rows begin.
template <class T>
ptrdiff_t block_start(const GemmArgs& g, ptrdiff_t i) {
  const ptrdiff_t most = block_rows<T>(g);
  if (g.m <= most) return i == 0 ? 0 : g.m;
  const ptrdiff_t row = g.m * i / parts_of(g.m, most);
  return g.finished ? smaller(parts_of(row, g.grain) * g.grain, g.m) : row;
}

template <class T>
ptrdiff_t room_of_a(const GemmArgs& g) {
  const ptrdiff_t rows = kPackedRows<T> + (g.finished ? g.grain - 1 : 0);
  return parts_of(smaller(g.m, rows) * smaller(g.k, piece_of<T>(g)), kLanes<T>) * kLanes<T>;
}

template <class T>
ptrdiff_t room_of_group(const GemmArgs& g) {
  const ptrdiff_t most = strips_of<T>(g) * kStripPanels * kWidest * kLanes<T>, cols = parts_of(g.n, kLanes<T>) * kLanes<T>;
  return smaller(g.k, piece_of<T>(g)) * smaller(cols, most);
}

// Of B a group of strips, or two of them, one of which is multiplied while the next one is copied, or all.
template <class T>
ptrdiff_t room_of_b(const GemmArgs& g) {
  if (!packs_b<T>(g)) return 0;
  if (keeps_b<T>(g)) return smaller(g.k, piece_of<T>(g)) * parts_of(g.n, kLanes<T>) * kLanes<T>;
  return (kCopiesBeside ? 2 : 1) * room_of_group<T>(g);
}

template <class T>
[[gnu::noinline]] ptrdiff_t room_for_packing(const GemmArgs& g) {
  return (packs_a<T>(g) ? room_of_a<T>(g) : 0) + room_of_b<T>(g);
}

// Enough for a product that is not handed out, and for a last block, which has fewer rows or columns and may go another way: its B may be
// far, or far no more, or its columns fewer than a vector has lanes.
template <class T>
ptrdiff_t room(const GemmArgs& g) {
  const ptrdiff_t thin = g.b_col == 1 ? 0 : g.k * smaller(g.n, kLanes<T> - 1);
  if (g.n < kLanes<T>) return thin;
  GemmArgs alone = g;
  alone.finished = nullptr;
  GemmArgs fewer = alone;
  fewer.m = smaller(g.m, kMostFar);
  GemmArgs narrower = fewer;
  narrower.n = smaller(g.n, (kFarB - 1) / bytes_of<T>(g.k < 1 ? 1 : g.k));
  const ptrdiff_t whole = larger(room_for_packing<T>(g), room_for_packing<T>(alone));
  return larger(larger(thin, whole), larger(room_for_packing<T>(fewer), room_for_packing<T>(narrower)));
}

LAMINA_KERNELS_END
